package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// deletes has the pipeline's deletion take topic and lake with it.
func deletes(t *testing.T) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		set(t, o, "Delete", "spec", "kafka", "topic", "deletionPolicy")
		set(t, o, "Delete", "spec", "lake", "deletionPolicy")
	}
}

// start applies the sample under a name of its own and waits until ticks have landed; ending it is the story's.
func (b *bed) start(t *testing.T, name string, edit func(*unstructured.Unstructured)) *unstructured.Unstructured {
	t.Helper()
	o := b.sample(t)
	o.SetName(name)
	set(t, o, "stockpipe-"+name, "spec", "lake", "bucket")
	if edit != nil {
		edit(o)
	}
	began := time.Now()
	b.apply(t, o)
	b.awaitFirstReady(t, o)
	b.awaitLanded(t, o)
	took("apply → first landed file", time.Since(began))
	return o
}

// awaitLanded asks the landers themselves until one of them has landed rows: the status tells it only once a minute.
func (b *bed) awaitLanded(t *testing.T, p *unstructured.Unstructured) {
	t.Helper()
	ctx, began, said := context.Background(), time.Now(), ""
	for ; time.Since(began) < 3*time.Minute; time.Sleep(200 * time.Millisecond) {
		list, err := b.kube.CoreV1().Pods(p.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: "stockpipe.dev/pipeline=" + p.GetName() + ",app.kubernetes.io/component=land"})
		if err != nil {
			said = err.Error()
			continue
		}
		for _, pod := range list.Items {
			raw, err := b.kube.CoreV1().Pods(p.GetNamespace()).ProxyGet("http", pod.Name, "9100", "/status", nil).DoRaw(ctx)
			status := struct{ RowsTotal int64 }{}
			if said = string(raw); err == nil && json.Unmarshal(raw, &status) == nil && status.RowsTotal > 0 {
				t.Logf("ticks have landed after %v", time.Since(began).Round(10*time.Millisecond))
				return
			}
		}
	}
	t.Fatalf("nothing has landed: %s", said)
}

// end deletes a pipeline and waits until it and its pods are gone.
func (b *bed) end(t *testing.T, p *unstructured.Unstructured, how metav1.DeletionPropagation) {
	t.Helper()
	err := b.dyn.Resource(pipelines).Namespace(p.GetNamespace()).Delete(context.Background(), p.GetName(), metav1.DeleteOptions{PropagationPolicy: &how})
	if err != nil {
		t.Fatal(err)
	}
	b.awaitGone(t, 4*time.Minute, p.GetName()+" is deleted", pipelines, p.GetNamespace(), named(p.GetName()))
	b.awaitGone(t, 2*time.Minute, "its pods are gone", pods, p.GetNamespace(), labelled("stockpipe.dev/pipeline="+p.GetName()))
}

// sound asserts what verify says of a lake.
func (b *bed) sound(t *testing.T, p *unstructured.Unstructured) verified {
	t.Helper()
	lake := b.verify(t, p)
	// What a lander has claimed it publishes soon, or the next one does.
	for began := time.Now(); lake.Findings.Count != 0 && time.Since(began) < time.Minute; lake = b.verify(t, p) {
		if slices.ContainsFunc(lake.Findings.List, func(f finding) bool { return !strings.Contains(f.Message, "is claimed and not visible") }) {
			break
		}
	}
	if lake.Findings.Count != 0 || lake.Sequences.Missing != 0 || lake.Sequences.Doubled != 0 || lake.Sequences.Rows == 0 {
		t.Errorf("verify: %+v", lake)
	}
	t.Logf("verify: %d rows, %d lost, %d doubled", lake.Sequences.Rows, lake.Sequences.Missing, lake.Sequences.Doubled)
	return lake
}

// eventsOf are what was told of an object, and of one that is gone by now.
func (b *bed) eventsOf(t *testing.T, namespace, name string) []corev1.Event {
	t.Helper()
	list, err := b.kube.CoreV1().Events(namespace).List(context.Background(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// everything has a pipeline make all that one can have outside the cluster, in a bucket and a database of its own.
func everything(t *testing.T, policy func(*unstructured.Unstructured)) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		policy(o)
		set(t, o, "of_"+strings.ReplaceAll(o.GetName(), "-", "_"), "spec", "catalog", "database")
		set(t, o, map[string]any{"schedule": map[string]any{"cron": "0 0 1 1 *"}}, "spec", "catalog", "crawler")
	}
}

// holds asserts that of what a pipeline makes outside the cluster only these kinds are missing.
func (b *bed) holds(t *testing.T, p *unstructured.Unstructured, when string, lacks ...string) {
	t.Helper()
	if b.dir == "" {
		t.Log("what Kafka, S3, Glue and Athena hold is not looked at: a given cluster's local cloud is out of reach")
		return
	}
	h := b.cloud(t).holdings(t, p)
	if got := h.lacks(); !slices.Equal(got, lacks) {
		t.Errorf("%s: it lacks %q, want %q: %+v", when, got, lacks, h)
	}
}

// noChildren waits until nothing of a pipeline is left on the cluster.
func (b *bed) noChildren(t *testing.T, p *unstructured.Unstructured) {
	t.Helper()
	for _, r := range append([]schema.GroupVersionResource{jobs, pods}, b.written()...) {
		b.awaitGone(t, time.Minute, "its "+r.Resource+" are gone", r, p.GetNamespace(), labelled("stockpipe.dev/pipeline="+p.GetName()))
	}
}

func deletionKeepsItsWord(t *testing.T, b *bed) {
	t.Run("with Retain a pipeline of the same name goes on where the first one ended", func(t *testing.T) {
		retains := everything(t, func(*unstructured.Unstructured) {})
		rows := int64(0)
		for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
			p := b.start(t, "kept", retains)
			found := b.sound(t, p).Sequences.Rows
			if found <= rows {
				t.Errorf("%d rows before it was deleted and %d after it was made again", rows, found)
			}
			rows = found
			b.holds(t, p, "while it runs")
			b.end(t, p, how)
			b.noChildren(t, p)
			b.holds(t, p, "after its deletion: "+string(how))
		}
	})
	for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run("with Delete nothing of it stays: "+string(how), func(t *testing.T) {
			name := "gone-" + strings.ToLower(string(how))[:4]
			p := b.start(t, name, everything(t, deletes(t)))
			before := b.sound(t, p)
			b.holds(t, p, "while it runs")
			foreign := how == metav1.DeletePropagationForeground && b.dir != ""
			if foreign {
				b.cloud(t).put(t, text(p, "spec", "lake", "bucket"), "of-a-person.txt", "mine")
			}
			b.end(t, p, how)
			b.noChildren(t, p)
			if foreign {
				b.holds(t, p, "after its deletion, with a person's object in its bucket",
					"crawler", "database", "offset of its group", "table", "topic", "workgroup")
				if left, _ := b.cloud(t).objects(t, text(p, "spec", "lake", "bucket"), ""); !slices.Equal(left, []string{"of-a-person.txt"}) {
					t.Errorf("its bucket holds %q, want the person's object alone", left)
				}
			} else {
				b.holds(t, p, "after its deletion", "bucket", "crawler", "database", "object", "offset of its group", "table", "topic", "workgroup")
			}
			var told []string
			for _, e := range b.eventsOf(t, p.GetNamespace(), name) {
				told = append(told, e.Reason)
				if e.Reason == "TeardownGivenUp" {
					t.Errorf("%s: %s", e.Reason, e.Message)
				}
			}
			if !strings.Contains(strings.Join(told, " "), "TearingDown") {
				t.Errorf("no event tells that it is torn down: %v", told)
			}
			// The same name begins again with nothing: a new topic, whose first offset is 0, and a new lake.
			p = b.start(t, name, everything(t, deletes(t)))
			after := b.sound(t, p)
			t.Logf("%d rows before, %d in the new lake", before.Sequences.Rows, after.Sequences.Rows)
			b.end(t, p, metav1.DeletePropagationBackground)
		})
	}
	t.Run("with AWS and Kafka away it is released at its deadline, and what stays is named", func(t *testing.T) {
		name := "stuck"
		p := b.start(t, name, func(o *unstructured.Unstructured) {
			deletes(t)(o)
			o.SetAnnotations(map[string]string{"stockpipe.dev/teardown-deadline": "40s"})
		})
		cloud := b.dyn.Resource(statefulSets).Namespace(operator)
		scale := func(replicas int) {
			patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
			if _, err := cloud.Patch(context.Background(), release+"-local-cloud", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		scale(0)
		t.Cleanup(func() {
			scale(1)
			b.awaitOne(t, 2*time.Minute, "the local cloud is back", statefulSets, operator, release+"-local-cloud", func(o *unstructured.Unstructured) string {
				if text(o, "status", "readyReplicas") != "1" {
					return "not ready"
				}
				return ""
			})
		})
		b.awaitGone(t, 2*time.Minute, "the local cloud is away", pods, operator, labelled("app.kubernetes.io/component=local-cloud"))
		b.end(t, p, metav1.DeletePropagationBackground)
		given := ""
		for _, e := range b.eventsOf(t, p.GetNamespace(), name) {
			if e.Reason == "TeardownGivenUp" {
				given = e.Message
			}
		}
		for _, word := range []string{"topic " + name + ".ticks", "s3://stockpipe-" + name + "/" + name + "/ticks"} {
			if !strings.Contains(given, word) {
				t.Errorf("%q is not named: %q", word, given)
			}
		}
	})
}
