package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	b.apply(t, o)
	b.awaitOne(t, 4*time.Minute, name+" is Ready", pipelines, o.GetNamespace(), name, hasCondition("Ready", "True"))
	b.awaitLanded(t, o)
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

func deletionKeepsItsWord(t *testing.T) {
	b := story(t)
	t.Run("with Retain a pipeline of the same name goes on where the first one ended", func(t *testing.T) {
		p := b.start(t, "kept", nil)
		before := b.sound(t, p)
		b.end(t, p, metav1.DeletePropagationBackground)
		p = b.start(t, "kept", nil)
		after := b.sound(t, p)
		if after.Sequences.Rows <= before.Sequences.Rows {
			t.Errorf("%d rows before it was deleted and %d after it was made again", before.Sequences.Rows, after.Sequences.Rows)
		}
		b.end(t, p, metav1.DeletePropagationBackground)
	})
	for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run("with Delete nothing of it stays: "+string(how), func(t *testing.T) {
			name := "gone-" + strings.ToLower(string(how))[:4]
			p := b.start(t, name, deletes(t))
			before := b.sound(t, p)
			b.end(t, p, how)
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
			b.awaitGone(t, time.Minute, "its Jobs are gone", jobs, p.GetNamespace(), labelled("stockpipe.dev/pipeline="+name+",app.kubernetes.io/component=teardown"))
			// The same name begins again with nothing: a new topic, a new lake.
			p = b.start(t, name, deletes(t))
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
