package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// annotate sets or, with nil, removes an annotation of a pipeline.
func (b *bed) annotate(t *testing.T, p *unstructured.Unstructured, key string, value any) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, key)
	if value != nil {
		patch = fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)
	}
	if _, err := b.dyn.Resource(pipelines).Namespace(p.GetNamespace()).Patch(context.Background(), p.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func operatorsHandsOn(t *testing.T, b *bed) {
	p := b.withPipeline(t, "handled", func(o *unstructured.Unstructured) {
		set(t, o, []any{map[string]any{
			"name": "ticks", "sql": map[string]any{"query": "SELECT count(*) AS ticks FROM {{table}} WHERE {{where}}"}, "interval": "Hour", "dataDate": "Previous",
			"schedule": map[string]any{"cron": "0 0 1 1 *"}, "deadline": "1s",
		}}, "spec", "reports")
	})
	namespace, name := p.GetNamespace(), p.GetName()
	workers := labelled("stockpipe.dev/pipeline=" + name + ",app.kubernetes.io/component in (produce,land)")

	t.Run("suspend stops its workers, and resume goes on where they were", func(t *testing.T) {
		b.awaitLanded(t, p)
		set(t, p, true, "spec", "suspend")
		b.apply(t, p)
		b.awaitGone(t, 2*time.Minute, "producer and lander are gone", pods, namespace, workers)
		b.awaitOne(t, time.Minute, "it is Ready: as its spec wants it", pipelines, namespace, name, hasCondition("Ready", "True"))
		b.isFor(t, p, status.CurrentStatus)
		set(t, p, false, "spec", "suspend")
		b.apply(t, p)
		b.await(t, 2*time.Minute, "they run again", pods, namespace, workers, func(seen objects) string {
			ready := 0
			for _, pod := range seen {
				if hasCondition("Ready", "True")(pod) == "" {
					ready++
				}
			}
			if ready != 2 {
				return fmt.Sprintf("%d of 2 are ready", ready)
			}
			return ""
		})
		b.awaitOne(t, 2*time.Minute, "Ready again", pipelines, namespace, name, hasCondition("Ready", "True"))
		b.isFor(t, p, status.CurrentStatus)
	})

	t.Run("paused, nothing is applied, until it is not", func(t *testing.T) {
		b.annotate(t, p, "stockpipe.dev/pause-reconcile", "true")
		b.awaitOne(t, time.Minute, "Paused", pipelines, namespace, name, hasCondition("Paused", "True"))
		set(t, p, "17s", "spec", "lake", "roll", "maxAge")
		b.apply(t, p)
		// The pause is seen in the status of this very generation: what was to be applied would have been.
		paused := b.awaitOne(t, time.Minute, "the change is seen", pipelines, namespace, name, hasCondition("Paused", "True"))
		b.isFor(t, p, status.CurrentStatus)
		before := b.specs(t, namespace, name)
		if text(paused, "status", "observedGeneration") != fmt.Sprint(paused.GetGeneration()) {
			t.Errorf("observed %s of %d", text(paused, "status", "observedGeneration"), paused.GetGeneration())
		}
		b.annotate(t, p, "stockpipe.dev/pause-reconcile", nil)
		b.awaitOne(t, time.Minute, "not paused", pipelines, namespace, name, hasCondition("Paused", "False"))
		b.awaitOne(t, time.Minute, "the lander has the change", deployments, namespace, name+"-land", func(o *unstructured.Unstructured) string {
			if o.GetGeneration() == before["land"] {
				return "its spec is as it was"
			}
			return ""
		})
		b.awaitOne(t, 2*time.Minute, "Ready", pipelines, namespace, name, hasCondition("Ready", "True"))
	})

	t.Run("a report runs when asked, once, and nonsense is told so", func(t *testing.T) {
		hour := time.Now().UTC().Add(-time.Hour).Format("2006-01-02T1500Z")
		asked := "report/ticks@" + hour + "#1"
		b.annotate(t, p, "stockpipe.dev/run-now", asked)
		b.awaitOne(t, 3*time.Minute, "it has run", pipelines, namespace, name, func(o *unstructured.Unstructured) string {
			if r := report(o, "ticks"); r["state"] != "Succeeded" {
				return fmt.Sprint(r)
			}
			if handled := text(o, "status", "lastHandledRunNow"); handled != asked {
				return "handled " + handled
			}
			return ""
		})
		list, err := b.dyn.Resource(jobs).Namespace(namespace).List(context.Background(), labelled("stockpipe.dev/pipeline="+name+",stockpipe.dev/report=ticks"))
		if err != nil || len(list.Items) != 1 {
			t.Errorf("%d Jobs, want one: %v", len(list.Items), err)
		}
		b.annotate(t, p, "stockpipe.dev/run-now", "report/nothing@2026-11-20#1")
		b.awaitOne(t, time.Minute, "the refusal is told", pipelines, namespace, name, func(o *unstructured.Unstructured) string {
			for _, e := range b.eventsOf(t, namespace, name) {
				if e.Reason == "RunNowRefused" && strings.Contains(e.Message, `no report "nothing"`) {
					return ""
				}
			}
			return "no event"
		})
	})
	b.sound(t, p)
}
