package e2e

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// story is one, told on a cluster with the operator.
type story struct {
	name string
	tell func(*testing.T, *bed)
}

// lines are told side by side, each on a cluster of its own: most of a story is waiting, and one that takes the API
// server away would be heard in another.
var lines = [][]story{
	{
		{"one chart and one file make a pipeline that runs", oneChartAndOneFile},
		{"a change touches the children that read it, and no other", changesTouchOnlyWhatReadsThem},
		{"what is deleted or edited by hand comes back, and what is someone's stays", driftIsUndone},
		{"an author names only secrets that they may read", authorsNameOnlyWhatTheyMayRead},
		{"a worker is nobody to the API server", workersAreNobody},
		{"suspend, pause and run-now do what they say", operatorsHandsOn},
		{"a rotated secret reaches who reads it, and nobody else", secretsRotate},
		{"deletion keeps or takes what the policy says", deletionKeepsItsWord},
		{"an upgrade restarts no worker", upgradesRestartNoWorker},
		{"a second install on the namespace waits, and names the first", secondInstallNamesTheFirst},
		{"an API server that fails now and then changes nothing in the end", faultsAreOutlived},
	},
	{
		{"missed runs are made up for, each once", missedRunsAreMadeUpFor},
		{"operators, API server and kubelet may fail", failuresAreOutlived},
	},
	{
		{"two pipelines are left alone", leftAlone.begin},
		{"the lag and the calendar set the number of landers", landersFollowTheLag},
		{"who is left alone hardly writes", leftAlone.end},
		{"ticks land exactly once from Apache Kafka into the S3 and Glue of others", partsOfOthersServe},
		{"a namespace is deleted with the pipelines in it", namespacesGo},
	},
}

// places are the lines' clusters; a given one is every line's.
var places = func() []*place {
	all := make([]*place, len(lines))
	for i := range all {
		all[i] = &place{}
		if given() {
			all[i] = all[0]
		}
	}
	return all
}()

// beds are the clusters that came up.
func beds() []*bed {
	var all []*bed
	for i, place := range places {
		if place.bed != nil && (i == 0 || place != places[0]) {
			all = append(all, place.bed)
		}
	}
	return all
}

// TestStories tells them all, then looks at what they left in the audit logs, and shows what they measured.
func TestStories(t *testing.T) {
	if os.Getenv("STOCKPIPE_E2E") != "1" {
		if os.Getenv("STOCKPIPE_ALL_TIERS") == "1" {
			t.Fatal("STOCKPIPE_ALL_TIERS=1 asks for the stories on Kubernetes: set STOCKPIPE_E2E=1, or run make e2e")
		}
		t.Skip("set STOCKPIPE_E2E=1 for the stories on Kubernetes, or run make e2e")
	}
	began := time.Now()
	var telling sync.WaitGroup
	for i, line := range lines {
		tell := func() {
			began := time.Now()
			for _, s := range line {
				t.Run(s.name, func(t *testing.T) {
					b := places[i].cluster(t)
					b.install(t)
					s.tell(t, b)
				})
			}
			took(fmt.Sprintf("all of line %d", i+1), time.Since(began))
		}
		if given() {
			tell()
		} else {
			telling.Go(tell)
		}
	}
	telling.Wait()
	took("all lines, side by side", time.Since(began))
	t.Run("the operator asks for nothing that it may not have, and has no right that it does not use", rightsAreUsed)
	t.Run("figures", showFigures)
}
