package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Kinds of children that the operator writes.
var written = []schema.GroupVersionResource{
	configMaps, {Version: "v1", Resource: "serviceaccounts"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}, services,
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, statefulSets, deployments, cronJobs,
}

func driftIsUndone(t *testing.T) {
	b := story(t)
	p := b.withPipeline(t, "drifting", nil)
	ctx := context.Background()
	for _, r := range written {
		c := b.dyn.Resource(r).Namespace(p.GetNamespace())
		list, err := c.List(ctx, labelled("stockpipe.dev/pipeline="+p.GetName()))
		if err != nil || len(list.Items) == 0 {
			t.Fatalf("%s: none is there: %v", r.Resource, err)
		}
		for _, child := range list.Items {
			t.Run(r.Resource+" "+child.GetName(), func(t *testing.T) {
				// instance is a label that the operator sets; mine is a person's.
				edit := []byte(`{"metadata":{"labels":{"app.kubernetes.io/instance":"wrong","example.com/mine":"yes"}}}`)
				if _, err := c.Patch(ctx, child.GetName(), types.MergePatchType, edit, metav1.PatchOptions{FieldManager: "a-person"}); err != nil {
					t.Fatal(err)
				}
				b.awaitOne(t, time.Minute, "the edit is undone", r, p.GetNamespace(), child.GetName(), func(o *unstructured.Unstructured) string {
					labels := o.GetLabels()
					if labels["app.kubernetes.io/instance"] != p.GetName() || labels["example.com/mine"] != "yes" {
						return fmt.Sprint(labels)
					}
					return ""
				})
				if err := c.Delete(ctx, child.GetName(), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				b.awaitOne(t, time.Minute, "it is made again", r, p.GetNamespace(), child.GetName(), func(o *unstructured.Unstructured) string {
					if o.GetUID() == child.GetUID() {
						return "the old one is still there"
					}
					return ""
				})
			})
		}
	}
	b.awaitOne(t, 3*time.Minute, "Ready again", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
}

func authorsNameOnlyWhatTheyMayRead(t *testing.T) {
	b := story(t)
	const namespace = operator
	for _, args := range [][]string{
		{"create", "role", "eve", "--verb=get,create,patch,delete", "--resource=stockpipelines." + group},
		{"create", "rolebinding", "eve", "--role=eve", "--user=eve"},
	} {
		if out, err := b.kubectl("", append(args, "-n", namespace)...); err != nil {
			t.Fatal(out, err)
		}
	}
	o := b.sample(t)
	o.SetName("of-eve")
	sampleSecret := text(o, "spec", "aws", "credentialsSecretRef", "name")
	asEve := func(o *unstructured.Unstructured) string {
		raw, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.kubectl(string(raw), "create", "--as=eve", "--dry-run=server", "-f", "-")
		return fmt.Sprint(err)
	}
	if answer, want := asEve(o), "names the Secret "+sampleSecret+", which eve may not get"; !strings.Contains(answer, want) {
		t.Errorf("answers %q\nwant %q", answer, want)
	}
	// A template is closed: nothing of a pod but what is harmless.
	for _, field := range []string{"image", "containers", "volumes", "securityContext", "hostNetwork", "serviceAccountName"} {
		smuggling := b.sample(t)
		set(t, smuggling, map[string]any{field: "x"}, "spec", "consumer", "template")
		raw, err := smuggling.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.kubectl(string(raw), "create", "--dry-run=server", "-f", "-")
		if want := `unknown field "spec.consumer.template.` + field + `"`; !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("template.%s: %v\nwant %q", field, err, want)
		}
	}
}
