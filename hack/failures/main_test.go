package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		log  string
		want []string // titles and what was said
	}{
		"tests that run at the same time, with -v": {`=== RUN   TestRegion
=== RUN   TestRegion/Together
=== RUN   TestRegion/Together/A
=== PAUSE TestRegion/Together/A
=== RUN   TestRegion/Together/B
=== PAUSE TestRegion/Together/B
=== CONT  TestRegion/Together/A
=== CONT  TestRegion/Together/B
    b_test.go:1: b works
=== NAME  TestRegion/Together/A
    a_test.go:2: a is wrong:
        in two lines
    dump_test.go:3: ----- pods
        many
=== NAME  TestRegion/Together/B
    b_test.go:4: b works still
--- FAIL: TestRegion (1.00s)
    --- FAIL: TestRegion/Together (1.00s)
        --- FAIL: TestRegion/Together/A (1.00s)
        --- PASS: TestRegion/Together/B (1.00s)
FAIL
FAIL	magalu.cloud/mke/test/e2e	1.0s
`, []string{"FAIL TestRegion/Together/A", "    a_test.go:2: a is wrong:", "        in two lines", "FAIL	magalu.cloud/mke/test/e2e	1.0s"}},
		"several packages, without -v": {`ok  	magalu.cloud/mke/api	0.1s
WARNING: nobody listens
--- FAIL: TestA (0.00s)
    --- FAIL: TestA/sub (0.00s)
        a_test.go:1: bad
FAIL
FAIL	magalu.cloud/mke/a	0.1s
--- FAIL: TestA (0.00s)
    a_test.go:9: another
FAIL
FAIL	magalu.cloud/mke/b	0.1s
FAIL
`, []string{"FAIL TestA/sub", "        a_test.go:1: bad", "FAIL	magalu.cloud/mke/a	0.1s", "WARNING: nobody listens",
			"FAIL TestA", "    a_test.go:9: another", "FAIL	magalu.cloud/mke/b	0.1s"}},
		"a race, a panic and an error of the compiler": {`==================
WARNING: DATA RACE
Write at 0x1
==================
--- FAIL: TestR (0.00s)
    testing.go:1: race detected
panic: oh

goroutine 1
FAIL	magalu.cloud/mke/r	0.1s
# magalu.cloud/mke/c [magalu.cloud/mke/c.test]
c/c.go:1:2: undefined: x
FAIL	magalu.cloud/mke/c [build failed]
`, []string{"WARNING: DATA RACE", "Write at 0x1", "panic: oh", "", "goroutine 1", "FAIL TestR", "    testing.go:1: race detected", "FAIL	magalu.cloud/mke/r	0.1s",
			"# magalu.cloud/mke/c [magalu.cloud/mke/c.test]", "c/c.go:1:2: undefined: x", "FAIL	magalu.cloud/mke/c [build failed]"}},
	}
	for name, tt := range tests {
		var got []string
		for _, f := range parse(strings.Split(tt.log, "\n")) {
			got = append(append(got, f.title), f.said...)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%s", name, strings.Join(got, "\n"))
		}
	}
}

func TestExcerpt(t *testing.T) {
	said := func(n int) (lines []string) {
		for i := range n {
			lines = append(lines, fmt.Sprint(i))
		}
		return lines
	}
	got := excerpt([]finding{{title: "short", said: said(2)}, {title: "test", said: said(100)}, {title: "crash", said: said(100), first: true}}, 20)
	if len(got) > 20 || got[4] != "    … (94 lines are left out)" || got[10] != "99" || got[11] != "crash" || got[12] != "0" {
		t.Errorf("got %d lines\n%s", len(got), strings.Join(got, "\n"))
	}
	many := excerpt(slices.Repeat([]finding{{title: "test", said: said(9)}}, 50), 20)
	if len(many) > 25 || many[len(many)-1] != "… and 47 more" {
		t.Errorf("got %d lines\n%s", len(many), strings.Join(many, "\n"))
	}
}
