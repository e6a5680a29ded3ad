package e2e

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// worker is what a long-running pod of a pipeline is, as far as an upgrade may change it.
type worker struct {
	uid, image string
	restarts   int32
}

// workers are a pipeline's long-running pods, by name.
func (b *bed) workers(t *testing.T, namespace, pipeline string) map[string]worker {
	t.Helper()
	return b.podsOf(t, namespace, "stockpipe.dev/pipeline="+pipeline+",app.kubernetes.io/component in (produce,land,analyze)")
}

func (b *bed) podsOf(t *testing.T, namespace, selector string) map[string]worker {
	t.Helper()
	list, err := b.kube.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]worker{}
	for _, pod := range list.Items {
		w := worker{uid: string(pod.UID), image: pod.Spec.Containers[0].Image}
		for _, c := range pod.Status.ContainerStatuses {
			w.restarts += c.RestartCount
		}
		all[pod.Name] = w
	}
	return all
}

// secondTag gives the image that the stories run another tag, as the next version of the workers, and loads it.
func (b *bed) secondTag(t *testing.T) string {
	t.Helper()
	if b.dir == "" {
		tag := os.Getenv("STOCKPIPE_SECOND_TAG")
		if tag == "" {
			t.Skip("on a given cluster, set STOCKPIPE_SECOND_TAG to another tag of STOCKPIPE_IMAGE that it can pull")
		}
		return tag
	}
	_, tag := repositoryAndTag(t)
	second := tag + "-second"
	archive := filepath.Join(t.TempDir(), "second.tar")
	if err := retag(os.Getenv("STOCKPIPE_IMAGE_ARCHIVE"), archive, ":"+tag, ":"+second); err != nil {
		t.Fatal(err)
	}
	if _, err := run(testcluster(), "load", "--dir", b.dir, archive); err != nil {
		t.Fatal(err)
	}
	return second
}

// retag copies an OCI archive, whose index alone names the image.
func retag(from, to, tag, second string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	reader, writer := tar.NewReader(in), tar.NewWriter(out)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(writer.Close(), out.Sync())
		}
		if err != nil {
			return err
		}
		content := io.Reader(reader)
		if header.Name == "index.json" {
			index, err := io.ReadAll(reader)
			if err != nil {
				return err
			}
			renamed := strings.ReplaceAll(string(index), tag+`"`, second+`"`)
			if renamed == string(index) {
				return fmt.Errorf("%s: its index names no image with tag %s", from, tag)
			}
			header.Size, content = int64(len(renamed)), strings.NewReader(renamed)
		}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(writer, content); err != nil {
			return err
		}
	}
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

func upgradesRestartNoWorker(t *testing.T, b *bed) {
	repository, tag := repositoryAndTag(t)
	// As a user upgrades: a newer operator, and nothing said of the workers.
	upgrade := func(chart, tag string) {
		began := time.Now()
		b.helm(t, "upgrade", release, chart, "-n", operator, "--wait", "--timeout", "4m",
			"--set", "image.repository="+repository, "--set", "image.tag="+tag,
			"--set", "localCloud.enabled=true", "--set", "localCloud.storage.size=2Gi")
		t.Logf("helm upgrade --wait took %v", time.Since(began).Round(10*time.Millisecond))
	}
	second := b.secondTag(t)
	upgrade(earlierChart(t), tag)
	// A new operator compares what it has not written: of the Prometheus operator's kinds as well.
	p := b.withPipeline(t, "upgraded", func(o *unstructured.Unstructured) {
		set(t, o, map[string]any{"podMonitor": true, "rules": true}, "spec", "monitoring", "prometheus")
	})
	namespace, name := p.GetNamespace(), p.GetName()
	b.awaitLanded(t, p)
	before := b.workers(t, namespace, name)
	if len(before) != 3 {
		t.Fatalf("producer, lander and page are expected: %v", before)
	}
	same := func(when string) {
		t.Helper()
		if after := b.workers(t, namespace, name); !maps.Equal(after, before) {
			t.Errorf("%s the workers are\n%v, they were\n%v", when, after, before)
		}
	}
	const operators = "app.kubernetes.io/component=operator"

	t.Run("no worker restarts", func(t *testing.T) {
		old := b.podsOf(t, operator, operators)
		upgrade(filepath.Join(root(), "charts", "stockpipe"), second)
		b.await(t, time.Minute, "the old operators are gone", pods, operator, labelled(operators), func(seen objects) string {
			for pod := range seen {
				if _, there := old[pod]; there {
					return pod + " is there"
				}
			}
			return ""
		})
		for pod, w := range b.podsOf(t, operator, operators) {
			if want := repository + ":" + second; w.image != want {
				t.Errorf("operator %s runs %s, want %s", pod, w.image, want)
			}
		}
		same("after the upgrade")
		// A change that only the provision Job reads tells that the new operator has looked at the pipeline.
		set(t, p, "5d", "spec", "lake", "abortUploadsAfter")
		b.apply(t, p)
		b.awaitOne(t, 3*time.Minute, "the new operator applies a change", pipelines, namespace, name, hasCondition("Ready", "True"))
		b.awaitLanded(t, p)
		same("after the new operator has applied a change")
	})

	t.Run("and spec.version moves them all, and no operator", func(t *testing.T) {
		operating := b.podsOf(t, operator, operators)
		set(t, p, second, "spec", "version")
		b.apply(t, p)
		b.await(t, 3*time.Minute, "every worker is another and runs the new version", pods, namespace,
			labelled("stockpipe.dev/pipeline="+name+",app.kubernetes.io/component in (produce,land,analyze)"), func(seen objects) string {
				roles := map[string]bool{}
				for pod, o := range seen {
					var now corev1.Pod
					decode(t, o.Object, &now)
					if was, there := before[pod]; there && was.uid == string(now.UID) {
						return pod + " is the one that was"
					}
					if got, want := now.Spec.Containers[0].Image, repository+":"+second; got != want {
						return pod + " runs " + got
					}
					if missing := hasCondition("Ready", "True")(o); missing != "" {
						return pod + ": " + missing
					}
					roles[now.Labels["app.kubernetes.io/component"]] = true
				}
				if len(roles) != 3 {
					return fmt.Sprintf("only %v are there", roles)
				}
				return ""
			})
		o := b.awaitOne(t, 2*time.Minute, "Ready", pipelines, namespace, name, hasCondition("Ready", "True"))
		if image, want := text(o, "status", "workers", "image"), repository+":"+second; image != want {
			t.Errorf("the status says that workers run %q, want %q", image, want)
		}
		if now := b.podsOf(t, operator, operators); !maps.Equal(now, operating) {
			t.Errorf("the operators are\n%v, they were\n%v", now, operating)
		}
		b.awaitLanded(t, p)
	})
	b.sound(t, p)
}

func secondInstallNamesTheFirst(t *testing.T, b *bed) {
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
	said, names := "", "the install "+release+" in namespace "+operator+" runs"
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
