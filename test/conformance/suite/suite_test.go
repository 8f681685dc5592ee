package suite

// The suite is a test package, which nothing can import: this names it, so that go mod tidy keeps what it needs.
import _ "k8s.io/kubernetes/test/e2e"
