package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// workloads are the kinds of children that carry a pipeline's work.
var workloads = []schema.GroupVersionResource{deployments, statefulSets, cronJobs}

// specs are the generations of a pipeline's workloads: a generation counts the
// changes of a spec.
func (b *bed) specs(t *testing.T, namespace, pipeline string) map[string]int64 {
	t.Helper()
	generations := map[string]int64{}
	for _, r := range workloads {
		list, err := b.dyn.Resource(r).Namespace(namespace).List(context.Background(), labelled("stockpipe.dev/pipeline="+pipeline))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			generations[strings.TrimPrefix(o.GetName(), pipeline+"-")] = o.GetGeneration()
		}
	}
	return generations
}

// changed names the workloads whose spec differs.
func changed(before, after map[string]int64) []string {
	var names []string
	for name, generation := range after {
		if before[name] != generation {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// step is one change of a pipeline, and the workloads that it may touch.
type step struct {
	field   string
	value   any
	touches []string
}

// question is a list of one report, whose schedule does not fire within a story.
func question(query string) []any {
	return []any{map[string]any{
		"name": "count", "sql": map[string]any{"query": query}, "interval": "Day", "dataDate": "Previous",
		"schedule": map[string]any{"cron": "0 0 1 1 *"},
	}}
}

// whileItRuns are changes of a pipeline whose pods run. The page shows reports and their source; a run waits for its
// source to be complete. Nothing of either rolls a lander.
func whileItRuns() []step {
	return []step{
		{"reports", question("SELECT max(price) FROM stockpipe.changing_ticks"), []string{"analyze", "report-count"}},
		{"lake.roll.maxAge", "20s", []string{"land"}},
		{"consumer.replicas", int64(2), []string{"land"}},
		{"consumer.template.annotations", map[string]any{"example.com/contact": "data"}, []string{"land"}},
		{"producer.template.annotations", map[string]any{"example.com/contact": "data"}, []string{"produce"}},
		{"source.simulated.ticksPerSecond", int64(200), []string{"analyze", "produce", "report-count"}},
	}
}

func changesTouchOnlyWhatReadsThem(t *testing.T, b *bed) {
	p := b.withPipeline(t, "changing", func(o *unstructured.Unstructured) {
		set(t, o, question("SELECT count(*) FROM stockpipe.changing_ticks"), "spec", "reports")
	})
	for _, s := range whileItRuns() {
		t.Run(s.field, func(t *testing.T) {
			before := b.specs(t, p.GetNamespace(), p.GetName())
			set(t, p, s.value, append([]string{"spec"}, strings.Split(s.field, ".")...)...)
			b.apply(t, p)
			b.awaitOne(t, 3*time.Minute, "Ready again", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
			if got := changed(before, b.specs(t, p.GetNamespace(), p.GetName())); !slices.Equal(got, s.touches) {
				t.Errorf("changes %v, want %v", got, s.touches)
			}
		})
	}
	t.Run("each field in turn", func(t *testing.T) { everyFieldInTurn(t, b) })
}
