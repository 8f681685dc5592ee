package cluster

import "testing"

func TestSizeOfControlPlane(t *testing.T) {
	for machineType, want := range map[string][3]string{
		"BV2-4-40":   {"100", "50", "1843MiB"},
		"BV4-8-40":   {"200", "100", "3686MiB"},
		"BV8-32-150": {"200", "100", "14745MiB"},
	} {
		s := sizeOf(machineType)
		args, env := s.inFlight(), s.memory(45)
		if len(args) != 2 || env == nil {
			t.Fatalf("%s: %v, %v", machineType, args, env)
		}
		if got := [3]string{*args[0].Value, *args[1].Value, (*env)[0].Value}; got != want {
			t.Errorf("%s: %v, want %v", machineType, got, want)
		}
	}
	if s := sizeOf("unheard-of"); s.inFlight() != nil || s.memory(45) != nil {
		t.Error("of an unknown machine type nothing is known")
	}
}
