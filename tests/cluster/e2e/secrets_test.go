package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// restarts counts the restarts of a pipeline's long-running workers, by pod.
func (b *bed) restarts(t *testing.T, namespace, pipeline string) map[string]int32 {
	t.Helper()
	counts := map[string]int32{}
	for pod, w := range b.workers(t, namespace, pipeline) {
		counts[pod] = w.restarts
	}
	return counts
}

func secretsRotate(t *testing.T, b *bed) {
	ctx := context.Background()
	secrets := b.kube.CoreV1().Secrets(operator)
	cloud, err := secrets.Get(ctx, release+"-local-cloud-keys", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const name = "rotating"
	mine := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name + "-keys"}, Data: cloud.Data}
	names := func(o *unstructured.Unstructured) {
		set(t, o, map[string]any{"name": name + "-keys"}, "spec", "aws", "credentialsSecretRef")
	}

	t.Run("a missing one is named, and its coming is enough", func(t *testing.T) {
		o := b.sample(t)
		o.SetName(name)
		set(t, o, "stockpipe-"+name, "spec", "lake", "bucket")
		names(o)
		b.apply(t, o)
		t.Cleanup(func() {
			if t.Failed() {
				b.explain(t, operator)
			}
		})
		b.awaitOne(t, 2*time.Minute, "the status names it", pipelines, operator, name, func(o *unstructured.Unstructured) string {
			for _, kind := range []string{"Ready", "Provisioned"} {
				c := conditionOf(o, kind)
				if c.Reason != "SecretMissing" || !strings.Contains(c.Message, "`"+name+"-keys`") {
					return fmt.Sprintf("%s: %s: %s", kind, c.Reason, c.Message)
				}
			}
			return ""
		})
		b.isFor(t, o, status.InProgressStatus)
		if _, err := secrets.Create(ctx, mine, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b.awaitOne(t, 5*time.Minute, "Ready", pipelines, operator, name, hasCondition("Ready", "True"))
		b.awaitLanded(t, o)
	})
	t.Cleanup(func() {
		if err := secrets.Delete(ctx, name+"-keys", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})

	other := b.start(t, "unmoved", nil)
	t.Run("a change restarts each worker that reads it once, within two minutes, and no other", func(t *testing.T) {
		before, apart := b.restarts(t, operator, name), b.restarts(t, operator, "unmoved")
		if len(before) != 3 {
			t.Fatalf("three workers are expected: %v", before)
		}
		// A session token that the local cloud does not ask for: another credential, and as good.
		now, err := secrets.Get(ctx, name+"-keys", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now.Data["AWS_SESSION_TOKEN"] = []byte("rotated")
		began := time.Now()
		if _, err := secrets.Update(ctx, now, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		readers := labelled("stockpipe.dev/pipeline=" + name + ",app.kubernetes.io/component in (land,analyze)")
		b.await(t, 2*time.Minute, "both readers have started again", pods, operator, readers, func(seen objects) string {
			for pod, count := range b.restarts(t, operator, name) {
				if _, reads := seen[pod]; reads && count != before[pod]+1 {
					return pod + " has not started again"
				}
			}
			return ""
		})
		t.Logf("rotation reached its readers after %v", time.Since(began).Round(time.Second))
		b.awaitOne(t, 2*time.Minute, "Ready", pipelines, operator, name, hasCondition("Ready", "True"))
		for pod, count := range b.restarts(t, operator, name) {
			if want := before[pod]; pod == name+"-produce-0" && count != want {
				t.Errorf("%s speaks to Kafka alone and restarted %d times", pod, count-want)
			} else if pod != name+"-produce-0" && count != want+1 {
				t.Errorf("%s restarted %d times, want once", pod, count-want)
			}
		}
		for pod, count := range b.restarts(t, operator, "unmoved") {
			if before, known := apart[pod]; !known || count != before {
				t.Errorf("%s of another pipeline restarted %d times", pod, count-before)
			}
		}
		p, err := b.dyn.Resource(pipelines).Namespace(operator).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b.sound(t, p)
		b.end(t, p, metav1.DeletePropagationBackground)
	})
	b.end(t, other, metav1.DeletePropagationBackground)
}
