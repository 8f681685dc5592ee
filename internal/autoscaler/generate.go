package autoscaler

//go:generate go run ./gendocs ../../docs/autoscaler.md
