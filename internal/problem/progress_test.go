//nolint:misspell // half of it is Portuguese
package problem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	for message, want := range map[string]string{
		"":                      "",
		"done":                  "concluído",
		"repairing the addon x": "reparando o addon x",
		"pool-1: 1 of 3 nodes are ready; autoscaler: 2 of 3 nodes are coming up":                                                                                      "pool-1: 1 de 3 nós estão prontos; autoscaler: 2 de 3 nós estão subindo",
		"moving pods off a node: the PodDisruptionBudget default/web does not allow it yet; the node goes after 10 minutes at the latest; autoscaler: removing nodes": "movendo pods para fora de um nó: o PodDisruptionBudget default/web ainda não permite; o nó sai em no máximo 10 minutos; autoscaler: removendo nós",
		"100% of %d nodes: unknown":                                                 "100% of %d nodes: unknown",
		"repairing the addon 50%d":                                                  "reparando o addon 50%d",
		"the VM cannot be made: no capacity in br-se1-a; try another zone":          "a VM não pode ser criada: no capacity in br-se1-a; try another zone",
		"autoscaler: Pods wait for nodes, and the pool is at its largest size of 3": "autoscaler: há pods à espera de nós, e o node pool está no tamanho máximo de 3",
	} {
		if got := Progress(Portuguese, message); got != want {
			t.Errorf("%q\n got %q\nwant %q", message, got, want)
		}
		if got := Progress(English, message); got != message {
			t.Errorf("in English %q became %q", message, got)
		}
	}
}

var verb = regexp.MustCompile(`%[a-z]`)

// Both languages say the same values in the same order.
func TestProgressHasTheSameValues(t *testing.T) {
	for _, text := range progress {
		if !slices.Equal(verb.FindAllString(text.EN, -1), verb.FindAllString(text.PT, -1)) {
			t.Errorf("%q: %q", text.EN, text.PT)
		}
	}
}

// What operators and mke-api say about a change exists in Portuguese.
func TestProgressIsComplete(t *testing.T) {
	known := map[string]bool{}
	for _, text := range progress {
		known[strings.TrimSuffix(text.EN, "%s")] = true
	}
	for _, file := range []string{"../operator/cluster/status.go", "../operator/cluster/messages.go", "../operator/nodepool/status.go", "../mkeapi/sync/progress.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !strings.Contains(strings.Trim(text, " ;:"), " ") || strings.Contains(text, `\`) {
				return true // a word, a part of a sentence, or a pattern
			}
			if found++; !known[text] {
				t.Errorf("%s says %q, which is not in progress.go", file, text)
			}
			return true
		})
		if found == 0 {
			t.Errorf("%s says nothing", file)
		}
	}
}
