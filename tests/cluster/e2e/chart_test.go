package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	release  = "stockpipe"
	operator = "stockpipe" // the Deployment, and the namespace that it is in
)

// repositoryAndTag of the image that the stories run.
func repositoryAndTag(t *testing.T) (string, string) {
	t.Helper()
	image := os.Getenv("STOCKPIPE_IMAGE")
	if image == "" {
		chart := struct{ AppVersion string }{}
		text, err := os.ReadFile(filepath.Join(root(), "charts", "stockpipe", "Chart.yaml"))
		if err == nil {
			err = yaml.Unmarshal(text, &chart)
		}
		if err != nil {
			t.Fatal(err)
		}
		image = "stockpipe:" + chart.AppVersion
	}
	at := strings.LastIndexByte(image, ':')
	if at < 0 || strings.Contains(image[at:], "/") {
		t.Fatalf("STOCKPIPE_IMAGE %q has no tag; write REPOSITORY:TAG", image)
	}
	return image[:at], image[at+1:]
}

// install installs the chart with its local cloud, as the guide says, once.
func (b *bed) install(t *testing.T) {
	t.Helper()
	b.installing.Lock()
	defer b.installing.Unlock()
	if b.installed {
		return
	}
	repository, tag := repositoryAndTag(t)
	b.namespace(t, operator)
	b.defineMonitoring(t)
	began := time.Now()
	defer func() {
		if t.Failed() {
			b.explain(t, operator)
		}
	}()
	b.helm(t, "upgrade", "--install", release, filepath.Join(root(), "charts", "stockpipe"), "-n", operator, "--wait", "--timeout", "4m",
		"--set", "image.repository="+repository, "--set", "image.tag="+tag, "--set", "workers.image.tag="+tag,
		"--set", "localCloud.enabled=true", "--set", "localCloud.storage.size=2Gi")
	took("helm install --wait", time.Since(began))
	b.installed = true
}

// sample is the pipeline that the chart's notes show.
func (b *bed) sample(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	notes := b.helm(t, "get", "notes", release, "-n", operator)
	_, rest, found := strings.Cut(notes, "<<'END'\n")
	text, _, ended := strings.Cut(rest, "\nEND\n")
	if !found || !ended {
		t.Fatalf("the notes hold no sample:\n%s", notes)
	}
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return o
}

// apply makes or changes a pipeline as kubectl apply does.
func (b *bed) apply(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := b.kubectl(string(text), "apply", "-f", "-"); err != nil {
		t.Fatal(out, err)
	}
}

// set changes one field of a pipeline.
func set(t *testing.T, o *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

// explain shows what a person would look at: the pipelines, pods that are not
// well, events, and the end of the operator's log.
func (b *bed) explain(t *testing.T, namespace string) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "stockpipelines", "-o", "yaml"},
		{"get", "pods,jobs,cronjobs,deployments,statefulsets", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", "app.kubernetes.io/component=operator", "--tail=40", "--prefix"},
		{"logs", "-l", "stockpipe.dev/pipeline", "--tail=15", "--prefix", "--max-log-requests=20"},
	} {
		out, err := b.kubectl("", append([]string{"-n", namespace}, args...)...)
		if err != nil {
			out = err.Error()
		}
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

// withPipeline runs the sample under a name of its own, changed by edit, until it
// is Ready; it is deleted when the story ends, and explained before if that failed.
func (b *bed) withPipeline(t *testing.T, name string, edit func(*unstructured.Unstructured)) *unstructured.Unstructured {
	t.Helper()
	o := b.sample(t)
	o.SetName(name)
	set(t, o, "stockpipe-"+name, "spec", "lake", "bucket")
	if edit != nil {
		edit(o)
	}
	b.apply(t, o)
	t.Cleanup(func() {
		if t.Failed() {
			b.explain(t, o.GetNamespace())
		}
		c := b.dyn.Resource(pipelines).Namespace(o.GetNamespace())
		if err := c.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
			return
		}
		b.awaitGone(t, 2*time.Minute, name+" is deleted", pipelines, o.GetNamespace(), named(name))
		b.awaitGone(t, 2*time.Minute, "its pods are gone", pods, o.GetNamespace(), labelled("stockpipe.dev/pipeline="+name))
	})
	b.awaitFirstReady(t, o)
	return o
}

// awaitFirstReady waits for a pipeline that was just applied.
func (b *bed) awaitFirstReady(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	began := time.Now()
	b.awaitOne(t, 4*time.Minute, o.GetName()+" is Ready", pipelines, o.GetNamespace(), o.GetName(), hasCondition("Ready", "True"))
	if text(o, "spec", "suspend") != "true" {
		took("apply → Ready", time.Since(began))
	}
}
