package cloud

import "slices"

// Adopt chooses which of several objects with the same mark is the cluster's: the recorded one, else the first by id, so that every
// try chooses the same. The others are duplicates, left by a creation whose answer was lost.
func Adopt[T any](candidates []T, id func(T) string, recorded string) (keep *T, duplicates []T) {
	if len(candidates) == 0 {
		return nil, nil
	}
	slices.SortFunc(candidates, func(a, b T) int {
		switch {
		case id(a) == id(b):
			return 0
		case id(a) == recorded || (id(b) != recorded && id(a) < id(b)):
			return -1
		}
		return 1
	})
	return &candidates[0], candidates[1:]
}
