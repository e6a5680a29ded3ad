package cluster

import (
	"slices"
	"strings"
)

// AllControllers is the list of controllers that kube-controller-manager runs
// by default.
const AllControllers = "*"

// runsController tells whether a list as kube-controller-manager's
// --controllers (names, -names, and * for all that are on by default) has the
// controller called name. A name by itself wins over the star, and the first of
// two that contradict each other wins, as in controller-manager's
// IsControllerEnabled.
func runsController(list, name string) bool {
	entries := strings.Split(list, ",")
	for _, entry := range entries {
		switch entry {
		case name:
			return true
		case "-" + name:
			return false
		}
	}
	return slices.Contains(entries, AllControllers)
}
