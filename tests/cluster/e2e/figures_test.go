package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// figures are what the stories measured.
var figures struct {
	sync.Mutex
	names []string
	times map[string][]time.Duration
	notes []string
}

// took notes how long something took.
func took(what string, d time.Duration) {
	figures.Lock()
	defer figures.Unlock()
	if figures.times == nil {
		figures.times = map[string][]time.Duration{}
	}
	if figures.times[what] == nil {
		figures.names = append(figures.names, what)
	}
	figures.times[what] = append(figures.times[what], d)
}

// note notes a figure that is no time.
func note(format string, args ...any) {
	figures.Lock()
	defer figures.Unlock()
	figures.notes = append(figures.notes, fmt.Sprintf(format, args...))
}

// showFigures shows them as one table.
func showFigures(t *testing.T) {
	figures.Lock()
	defer figures.Unlock()
	table := &strings.Builder{}
	fmt.Fprintf(table, "\n%-44s %5s %9s %9s %9s\n", "what", "times", "shortest", "median", "longest")
	slices.Sort(figures.names)
	for _, name := range figures.names {
		times := slices.Sorted(slices.Values(figures.times[name]))
		second := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
		fmt.Fprintf(table, "%-44s %5d %9s %9s %9s\n", name, len(times), second(times[0]), second(times[len(times)/2]), second(times[len(times)-1]))
	}
	for _, note := range figures.notes {
		fmt.Fprintln(table, note)
	}
	t.Log(table)
}
