package ccm

import (
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// dying is an API server that is lost after a number of calls.
type dying struct {
	left   int
	healed bool
}

func newDying(client *fake.Clientset, calls int) *dying {
	d := &dying{left: calls}
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		if d.healed {
			return false, nil, nil
		}
		if d.left == 0 {
			return true, nil, errors.New("connection lost")
		}
		d.left--
		return false, nil, nil
	})
	return d
}

func (d *dying) heal() { d.healed = true }
