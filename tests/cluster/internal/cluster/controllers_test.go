package cluster

import "testing"

func TestControllersAreChosenAsKubeControllerManagerDoes(t *testing.T) {
	for list, want := range map[string]bool{
		"*":                      true,
		"job-controller":         true,
		"-job-controller,*":      false,
		"*,-job-controller":      false,
		"*,-deployment":          true,
		"deployment-controller":  false,
		"job-controller,-*":      true,
		"-job-controller":        false,
		"job-controller-of-mine": false,
	} {
		if got := runsController(list, "job-controller"); got != want {
			t.Errorf("%q runs it: %v, want %v", list, got, want)
		}
	}
}
