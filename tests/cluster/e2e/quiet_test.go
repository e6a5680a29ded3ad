package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// alone are pipelines that nobody changes while another story is told.
type alone struct {
	since     time.Time
	pipelines []*unstructured.Unstructured
}

var leftAlone alone

func (a *alone) begin(t *testing.T, b *bed) {
	b.ours(t)
	unscheduled := func(o *unstructured.Unstructured) { unstructured.RemoveNestedField(o.Object, "spec", "reports") }
	running := b.start(t, "steady", unscheduled)
	a.pipelines = append(a.pipelines, running)
	idle := b.start(t, "resting", unscheduled)
	a.pipelines = append(a.pipelines, idle)
	set(t, idle, true, "spec", "suspend")
	b.apply(t, idle)
	b.awaitGone(t, 2*time.Minute, "its producer and lander are gone", pods, idle.GetNamespace(), labelled("stockpipe.dev/pipeline=resting,app.kubernetes.io/component in (produce,land,analyze)"))
	b.awaitOne(t, time.Minute, "it is Ready", pipelines, idle.GetNamespace(), idle.GetName(), hasCondition("Ready", "True"))
	// The last write about how it came to rest is a moment away.
	a.since = time.Now().Add(time.Minute)
}

// end counts what the operator has written of them meanwhile. Stories are told in between, and take long enough; where
// they were left out or failed, it waits for what is missing of the least time.
func (a *alone) end(t *testing.T, b *bed) {
	if len(a.pipelines) == 0 {
		t.Skip("no pipelines were left alone: run the whole line")
	}
	defer func() {
		for _, p := range a.pipelines {
			b.end(t, p, metav1.DeletePropagationBackground)
		}
	}()
	if a.since.IsZero() {
		t.Fatal("the story that began it has failed")
	}
	time.Sleep(time.Until(a.since.Add(3 * time.Minute)))
	until := time.Now()
	minutes := until.Sub(a.since).Minutes()
	events := b.audit(t, "system:serviceaccount:"+operator+":"+operator)
	for _, p := range a.pipelines {
		name, writes := p.GetName(), []string{}
		for _, e := range events {
			if e.ObjectRef == nil || e.RequestReceivedTimestamp.Before(a.since) || e.RequestReceivedTimestamp.After(until) || !slices.Contains(writing, e.Verb) {
				continue
			}
			if of := e.ObjectRef.Name; of == name || strings.HasPrefix(of, name+"-") || strings.HasPrefix(of, name+".") {
				writes = append(writes, e.RequestReceivedTimestamp.UTC().Format(time.TimeOnly)+" "+e.Verb+" "+e.RequestURI)
			}
		}
		rate := float64(len(writes)) / minutes
		goal, what := 1.0, "a running pipeline"
		if name == "resting" {
			goal, what = 0, "an idle pipeline"
		}
		note("writes a minute by %s: %.2f (%d in %.1f minutes; goal: at most %v)", what, rate, len(writes), minutes, goal)
		if rate > goal {
			t.Errorf("%s: %.2f writes a minute:\n%s", name, rate, strings.Join(writes, "\n"))
		}
	}
}
