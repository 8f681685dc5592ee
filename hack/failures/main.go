// Command failures prints what somebody needs who reads only the end of a log of `go test`: of each failed test what the test
// itself said, and where a program crashed, raced or did not compile.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	lines := flag.Int("lines", 80, "print at most so many lines")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: failures [--lines N] LOG")
	}
	text, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range excerpt(parse(strings.Split(strings.TrimRight(string(text), "\n"), "\n")), *lines) {
		fmt.Println(line)
	}
}
