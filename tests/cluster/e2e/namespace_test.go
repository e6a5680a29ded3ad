package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// namespacesGo deletes a namespace that has a pipeline which wants a teardown: with the Role that lets the operator
// release it, whose operator is an install of its own.
func namespacesGo(t *testing.T, b *bed) {
	ctx := context.Background()
	repository, tag := repositoryAndTag(t)
	const team, elsewhere, doomed = "team", "stockpipe-team", "doomed"
	b.namespace(t, elsewhere)
	b.namespace(t, doomed)
	keys, err := b.kube.CoreV1().Secrets(operator).Get(ctx, release+"-local-cloud-keys", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: keys.Name}, Data: keys.Data}
	if _, err := b.kube.CoreV1().Secrets(doomed).Create(ctx, mine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.helm(t, "install", team, filepath.Join(root(), "charts", "stockpipe"), "-n", elsewhere, "--wait", "--timeout", "4m",
		"--set", "image.repository="+repository, "--set", "image.tag="+tag, "--set", "workers.image.tag="+tag,
		"--set", "crds.install=false", "--set", "watchNamespaces={"+doomed+"}", "--set", "replicas=1")
	t.Cleanup(func() {
		b.helm(t, "uninstall", team, "-n", elsewhere, "--wait", "--timeout", "2m")
		if err := b.kube.CoreV1().Namespaces().Delete(ctx, elsewhere, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			b.explain(t, doomed)
			b.explain(t, elsewhere)
		}
	})
	pipeline := func(name string, edit func(*unstructured.Unstructured)) {
		b.start(t, name, func(o *unstructured.Unstructured) {
			o.SetNamespace(doomed)
			edit(o)
		})
	}
	pipeline("going", deletes(t))
	pipeline("going-too", func(*unstructured.Unstructured) {})

	began := time.Now()
	if err := b.kube.CoreV1().Namespaces().Delete(ctx, doomed, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.awaitGone(t, time.Minute, "the namespace is gone, and its pipelines with it", namespaces, "", named(doomed))
	took("a namespace is deleted → gone", time.Since(began))

	told := ""
	list, err := b.kube.CoreV1().Events(elsewhere).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if strings.Contains(e.Message, "may stay behind") {
			told += e.Message + "\n"
		}
	}
	for _, word := range []string{"doomed/going", "its namespace is being deleted", "topic going.ticks", "s3://stockpipe-going/going/ticks"} {
		if !strings.Contains(told, word) {
			t.Errorf("no event of the operator's pod tells %q: %q", word, told)
		}
	}
	if strings.Contains(told, "going-too") {
		t.Errorf("what was to stay is told as left behind: %q", told)
	}
}
