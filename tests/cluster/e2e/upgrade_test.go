package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podUIDs are a pipeline's long-running pods.
func (b *bed) podUIDs(t *testing.T, namespace, pipeline string) map[string]string {
	t.Helper()
	list, err := b.kube.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "stockpipe.dev/pipeline=" + pipeline + ",app.kubernetes.io/component in (produce,land,analyze)"})
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]string{}
	for _, pod := range list.Items {
		uids[pod.Name] = string(pod.UID)
	}
	return uids
}

// earlierChart is the chart of an earlier commit, taken out of the repository's history.
func earlierChart(t *testing.T) string {
	t.Helper()
	// Where CI has no history, there is nothing to upgrade from.
	commit, err := run("git", "-C", root(), "rev-list", "-n1", "--before=12 hours ago", "HEAD", "--", "charts/stockpipe")
	if err == nil && commit == "" {
		commit, err = run("git", "-C", root(), "rev-list", "--max-count=1", "--skip=1", "HEAD", "--", "charts/stockpipe")
	}
	if err != nil || commit == "" {
		t.Skipf("the repository's history has no earlier chart: %v", err)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "chart.tar")
	if _, err := run("git", "-C", root(), "archive", "--output", archive, commit, "charts/stockpipe"); err != nil {
		t.Fatal(err)
	}
	if _, err := run("tar", "-C", dir, "-xf", archive); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	t.Logf("the earlier chart is of %.12s", commit)
	return filepath.Join(dir, "charts", "stockpipe")
}

func upgradesRestartNoWorker(t *testing.T) {
	b := story(t)
	repository, tag := repositoryAndTag(t)
	upgrade := func(chart string, more ...string) {
		began := time.Now()
		b.helm(t, append([]string{"upgrade", release, chart, "-n", operator, "--wait", "--timeout", "4m",
			"--set", "image.repository=" + repository, "--set", "image.tag=" + tag, "--set", "workers.image.tag=" + tag,
			"--set", "localCloud.enabled=true", "--set", "localCloud.storage.size=2Gi"}, more...)...)
		t.Logf("helm upgrade --wait took %v", time.Since(began).Round(10*time.Millisecond))
	}
	upgrade(earlierChart(t))
	p := b.withPipeline(t, "upgraded", nil)
	b.awaitLanded(t, p)
	before := b.podUIDs(t, p.GetNamespace(), p.GetName())
	upgrade(filepath.Join(root(), "charts", "stockpipe"))
	b.converges(t, p, "after the upgrade")
	after := b.podUIDs(t, p.GetNamespace(), p.GetName())
	for pod, uid := range before {
		// The producer alone has the change that told us that the new operator works.
		if pod != p.GetName()+"-produce-0" && after[pod] != uid {
			t.Errorf("%s was replaced by the upgrade", pod)
		}
	}
	t.Run("and spec.version moves the workers", func(t *testing.T) {
		set(t, p, tag, "spec", "version")
		b.apply(t, p)
		b.awaitOne(t, 3*time.Minute, "Ready", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
		o, err := b.dyn.Resource(pipelines).Namespace(p.GetNamespace()).Get(context.Background(), p.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		image, _, _ := unstructured.NestedString(o.Object, "status", "workers", "image")
		if want := fmt.Sprintf("%s:%s", repository, tag); image != want {
			t.Errorf("workers run %q, want %q", image, want)
		}
	})
	b.sound(t, p)
}

func secondInstallNamesTheFirst(t *testing.T) {
	b := story(t)
	repository, tag := repositoryAndTag(t)
	const second, elsewhere = "second", "stockpipe-second"
	b.namespace(t, elsewhere)
	b.helm(t, "install", second, filepath.Join(root(), "charts", "stockpipe"), "-n", elsewhere,
		"--set", "image.repository="+repository, "--set", "image.tag="+tag, "--set", "workers.image.tag="+tag,
		"--set", "crds.install=false", "--set", "admissionPolicies.authors=false", "--set", "admissionPolicies.operatorPods=false",
		"--set", "watchNamespaces={"+operator+"}", "--set", "replicas=1")
	t.Cleanup(func() { b.helm(t, "uninstall", second, "-n", elsewhere, "--wait", "--timeout", "2m") })
	running := b.await(t, 2*time.Minute, "the second operator runs", pods, elsewhere, labelled("app.kubernetes.io/component=operator"), func(seen objects) string {
		for _, pod := range seen {
			if text(pod, "status", "phase") == "Running" {
				return ""
			}
		}
		return "none runs"
	})
	var name string
	for pod := range running {
		name = pod
	}
	// The Service lists ready pods alone; the pod itself says why it is none.
	said, names := "", "the install in namespace "+operator+" runs"
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		raw, _ := b.kube.CoreV1().Pods(elsewhere).ProxyGet("http", name, "8081", "/readyz", nil).DoRaw(context.Background())
		if said = string(raw); strings.Contains(said, names) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if !strings.Contains(said, names) {
		t.Errorf("/readyz of the second does not name the first: %q", said)
	}
	t.Logf("/readyz of the second install: %s", said)
	pod, err := b.kube.CoreV1().Pods(elsewhere).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			t.Error("two installs are ready on one namespace")
		}
	}
}
