package e2e

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// written are the kinds of children that the operator writes, but for Jobs, which are never changed.
func (b *bed) written() []schema.GroupVersionResource {
	kinds := []schema.GroupVersionResource{
		configMaps, serviceAccounts, networkPolicies, services, disruptionBudgets, statefulSets, deployments, cronJobs,
	}
	if b.dir != "" {
		kinds = append(kinds, podMonitors, prometheusRules)
	}
	return kinds
}

// monitoring defines the Prometheus operator's kinds, as far as stockpipe makes any: it does not run here.
const monitoring = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: %[1]s, plural: %[2]s, singular: %[3]s}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
`

// defineMonitoring has a testcluster serve them, before its operators look for them. A given cluster has them or not.
func (b *bed) defineMonitoring(t *testing.T) {
	t.Helper()
	if b.dir == "" {
		return
	}
	definition := func(kind string) string {
		return fmt.Sprintf(monitoring, kind, strings.ToLower(kind)+"s", strings.ToLower(kind))
	}
	if out, err := b.kubectl(definition("PodMonitor")+definition("PrometheusRule"), "apply", "-f", "-"); err != nil {
		t.Fatal(out, err)
	}
	for _, r := range []schema.GroupVersionResource{podMonitors, prometheusRules} {
		b.awaitOne(t, time.Minute, r.Resource+" are served", definitions, "", r.GroupResource().String(), hasCondition("Established", "True"))
	}
}

// edits are what a person may change of each child of a kind. Numbers in a path are places in a list.
var edits = []struct {
	of    schema.GroupVersionResource
	path  string
	value any
}{
	{serviceAccounts, "automountServiceAccountToken", true},
	{networkPolicies, "spec.ingress", []any{map[string]any{}}},
	{networkPolicies, "spec.egress", []any{map[string]any{}}},
	{networkPolicies, "spec.policyTypes", []any{"Ingress"}},
	{networkPolicies, "spec.podSelector.matchLabels", map[string]any{"nobody": "has-this"}},
	{services, "spec.selector", map[string]any{"nobody": "has-this"}},
	{services, "spec.ports.0.targetPort", int64(1)},
	{services, "spec.ports.0.port", int64(1)},
	{disruptionBudgets, "spec.maxUnavailable", "100%"},
	{disruptionBudgets, "spec.unhealthyPodEvictionPolicy", "IfHealthyBudget"},
	{statefulSets, "spec.replicas", int64(0)},
	{statefulSets, "spec.template.spec.containers.0.image", "stockpipe:of-a-person"},
	{statefulSets, "spec.template.spec.terminationGracePeriodSeconds", int64(1)},
	{deployments, "spec.replicas", int64(0)},
	{deployments, "spec.template.spec.containers.0.image", "stockpipe:of-a-person"},
	{deployments, "spec.template.spec.containers.0.resources.requests.cpu", "1m"},
	{deployments, "spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem", false},
	{deployments, "spec.template.spec.containers.0.ports.0.containerPort", int64(1)},
	{deployments, "spec.template.spec.automountServiceAccountToken", true},
	{deployments, "spec.template.spec.serviceAccountName", "default"},
	{cronJobs, "spec.schedule", "0 0 1 1 *"},
	{cronJobs, "spec.suspend", true},
	{cronJobs, "spec.concurrencyPolicy", "Allow"},
	{cronJobs, "spec.jobTemplate.spec.template.spec.containers.0.image", "stockpipe:of-a-person"},
	{podMonitors, "spec.podMetricsEndpoints", []any{}},
	{podMonitors, "spec.podTargetLabels", []any{"of-a-person"}},
	{prometheusRules, "spec.groups.0.rules", []any{}},
}

// at is what an object has at a path, and sets it where there is a value to set.
func at(object any, path string, value any) (any, error) {
	key, rest, more := strings.Cut(path, ".")
	place, err := strconv.Atoi(key)
	switch node := object.(type) {
	case map[string]any:
		old, there := node[key]
		if !there {
			return nil, fmt.Errorf("there is no %s", key)
		}
		if more {
			return at(old, rest, value)
		}
		if value != nil {
			node[key] = value
		}
		return old, nil
	case []any:
		if err != nil || place >= len(node) || !more {
			return nil, fmt.Errorf("%s is no place in a list of %d, or what follows it is missing", key, len(node))
		}
		return at(node[place], rest, value)
	}
	return nil, fmt.Errorf("there is nothing below which %s could be", key)
}

func driftIsUndone(t *testing.T, b *bed) {
	p := b.withPipeline(t, "drifting", func(o *unstructured.Unstructured) {
		set(t, o, map[string]any{"podMonitor": true, "rules": true}, "spec", "monitoring", "prometheus")
	})
	ctx := context.Background()
	for _, r := range b.written() {
		c := b.dyn.Resource(r).Namespace(p.GetNamespace())
		list, err := c.List(ctx, labelled("stockpipe.dev/pipeline="+p.GetName()))
		if err != nil || len(list.Items) == 0 {
			t.Fatalf("%s: none is there: %v", r.Resource, err)
		}
		for _, child := range list.Items {
			t.Run(r.Resource+" "+child.GetName(), func(t *testing.T) {
				if r == configMaps {
					b.fileIsFixed(t, p, child.GetName())
				}
				for _, edit := range edits {
					if edit.of == r {
						b.edit(t, r, p, child.GetName(), edit.path, edit.value)
					}
				}
				b.edit(t, r, p, child.GetName(), "", nil)
				if err := c.Delete(ctx, child.GetName(), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				made := b.awaitOne(t, time.Minute, "it is made again", r, p.GetNamespace(), child.GetName(), func(o *unstructured.Unstructured) string {
					if o.GetUID() == child.GetUID() {
						return "the old one is still there"
					}
					return ""
				})
				if r == configMaps && !reflect.DeepEqual(made.Object["data"], child.Object["data"]) {
					t.Errorf("it holds %v, held %v", made.Object["data"], child.Object["data"])
				}
			})
		}
	}
	t.Run("jobs", func(t *testing.T) { b.jobsAreFixed(t, p) })
	b.awaitOne(t, 3*time.Minute, "Ready again", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
}

// edit changes a field of a child, a label that the operator sets, and a label and an annotation of a person's own; and
// waits until the first two are as they were. What is the person's stays.
func (b *bed) edit(t *testing.T, r schema.GroupVersionResource, p *unstructured.Unstructured, name, path string, value any) {
	t.Helper()
	c, ctx := b.dyn.Resource(r).Namespace(p.GetNamespace()), context.Background()
	const label, mine, instance = "app.kubernetes.io/instance", "example.com/mine", "wrong"
	var was any
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		o, err := c.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		labels, annotations := o.GetLabels(), o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		labels[label], labels[mine], annotations[mine] = instance, "yes", "yes"
		o.SetLabels(labels)
		o.SetAnnotations(annotations)
		if path != "" {
			if was, err = at(o.Object, path, value); err != nil {
				return err
			}
			if reflect.DeepEqual(was, value) {
				return fmt.Errorf("it is %v already", was)
			}
		}
		_, err = c.Update(ctx, o, metav1.UpdateOptions{FieldManager: "a-person"})
		return err
	})
	if err != nil {
		t.Errorf("%s of %s: %v", path, name, err)
		return
	}
	b.awaitOne(t, time.Minute, "the edit of "+path+" is undone", r, p.GetNamespace(), name, func(o *unstructured.Unstructured) string {
		labels := o.GetLabels()
		if labels[label] != p.GetName() || labels[mine] != "yes" || o.GetAnnotations()[mine] != "yes" {
			return fmt.Sprint(labels, o.GetAnnotations())
		}
		if path != "" {
			if is, err := at(o.Object, path, nil); err != nil || !reflect.DeepEqual(is, was) {
				return fmt.Sprintf("%s is %v, was %v: %v", path, is, was, err)
			}
		}
		return ""
	})
}

// fileIsFixed asserts that a worker's file cannot be edited: another content is another file.
func (b *bed) fileIsFixed(t *testing.T, p *unstructured.Unstructured, name string) {
	t.Helper()
	edit := []byte(`{"data":{"pipeline.yaml":"of a person"}}`)
	_, err := b.dyn.Resource(configMaps).Namespace(p.GetNamespace()).Patch(context.Background(), name, types.MergePatchType, edit, metav1.PatchOptions{})
	if err == nil || !strings.Contains(err.Error(), "field is immutable when `immutable` is set") {
		t.Errorf("an edit of its file answers %v", err)
	}
}

// jobsAreFixed asserts that what a Job runs cannot be edited, and that the provision Job, deleted by hand, is made again
// and succeeds again.
func (b *bed) jobsAreFixed(t *testing.T, p *unstructured.Unstructured) {
	ctx, c := context.Background(), b.dyn.Resource(jobs).Namespace(p.GetNamespace())
	provision := labelled("stockpipe.dev/pipeline=" + p.GetName() + ",app.kubernetes.io/component=provision")
	list, err := c.List(ctx, provision)
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d provision Jobs: %v", len(list.Items), err)
	}
	job := list.Items[0].DeepCopy()
	if _, err := at(job.Object, "spec.template.spec.containers.0.image", "stockpipe:of-a-person"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update(ctx, job, metav1.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("an edit of %s answers %v", job.GetName(), err)
	}
	background := metav1.DeletePropagationBackground
	if err := c.Delete(ctx, job.GetName(), metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	b.await(t, time.Minute, "it is deleted", jobs, p.GetNamespace(), named(job.GetName()), func(seen objects) string {
		if now, there := seen[job.GetName()]; there && now.GetUID() == job.GetUID() {
			return "it is still there"
		}
		return ""
	})
	b.annotate(t, p, "stockpipe.dev/provision-now", "after-its-deletion")
	b.await(t, 2*time.Minute, "it is made again, and succeeds", jobs, p.GetNamespace(), provision, func(seen objects) string {
		for _, o := range seen {
			if text(o, "status", "succeeded") == "1" {
				return ""
			}
		}
		return fmt.Sprintf("%d Jobs, none of which has succeeded", len(seen))
	})
}

func authorsNameOnlyWhatTheyMayRead(t *testing.T, b *bed) {
	const namespace = operator
	for _, args := range [][]string{
		{"create", "role", "eve", "--verb=get,create,patch,delete", "--resource=stockpipelines." + group},
		{"create", "rolebinding", "eve", "--role=eve", "--user=eve"},
	} {
		if out, err := b.kubectl("", append(args, "-n", namespace)...); err != nil {
			t.Fatal(out, err)
		}
	}
	t.Cleanup(func() { _, _ = b.kubectl("", "delete", "rolebinding/eve", "role/eve", "-n", namespace) })
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
	for _, of := range []string{"producer", "consumer"} {
		for _, field := range []string{
			"image", "containers", "initContainers", "volumes", "securityContext", "hostNetwork", "hostPID", "hostIPC",
			"serviceAccountName", "automountServiceAccountToken", "nodeName", "spec",
		} {
			smuggling := b.sample(t)
			set(t, smuggling, map[string]any{field: "x"}, "spec", of, "template")
			if want, answer := `unknown field "spec.`+of+`.template.`+field+`"`, b.refusal(t, smuggling); !strings.Contains(answer, want) {
				t.Errorf("%s.template.%s: %v\nwant %q", of, field, answer, want)
			}
		}
		// Nor is an environment variable more than its text.
		smuggling := b.sample(t)
		secret := map[string]any{"secretKeyRef": map[string]any{"name": sampleSecret, "key": "AWS_SECRET_ACCESS_KEY"}}
		set(t, smuggling, []any{map[string]any{"name": "X", "value": "", "valueFrom": secret}}, "spec", of, "template", "env")
		if want, answer := `unknown field "spec.`+of+`.template.env[0].valueFrom"`, b.refusal(t, smuggling); !strings.Contains(answer, want) {
			t.Errorf("%s.template.env: %v\nwant %q", of, answer, want)
		}
	}
	operatorMakesOnlyWorkers(t, b)
}

// refusal is what the API server says to an object that it does not take.
func (b *bed) refusal(t *testing.T, o *unstructured.Unstructured, as ...string) string {
	t.Helper()
	raw, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.kubectl(string(raw), append([]string{"create", "--dry-run=server", "-f", "-"}, as...)...)
	return fmt.Sprint(err)
}

// operatorMakesOnlyWorkers tries what a stolen token of the operator might be for.
func operatorMakesOnlyWorkers(t *testing.T, b *bed) {
	p := b.withPipeline(t, "lent", nil)
	lander, err := b.dyn.Resource(deployments).Namespace(p.GetNamespace()).Get(context.Background(), "lent-land", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lander.SetName("stolen")
	lander.SetResourceVersion("")
	lander.SetUID("")
	lander.SetOwnerReferences(nil)
	unstructured.RemoveNestedField(lander.Object, "status")
	as := "--as=system:serviceaccount:" + operator + ":" + operator
	if answer := b.refusal(t, lander, as); answer != "<nil>" {
		t.Errorf("a Deployment like the operator's own is refused: %s", answer)
	}
	pod := func(path ...string) []string { return append([]string{"spec", "template", "spec"}, path...) }
	for _, row := range []struct {
		what, want string
		edit       func(*unstructured.Unstructured)
	}{
		{"another image", "the operator runs no image but", func(o *unstructured.Unstructured) {
			containers, _, _ := unstructured.NestedSlice(o.Object, pod("containers")...)
			containers[0].(map[string]any)["image"] = "example.com/miner:1"
			set(t, o, containers, pod("containers")...)
		}},
		{"the host's files", "the operator mounts only", func(o *unstructured.Unstructured) {
			volumes, _, _ := unstructured.NestedSlice(o.Object, pod("volumes")...)
			set(t, o, append(volumes, map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}}), pod("volumes")...)
		}},
		{"the host's network", "the operator makes no pod in a namespace", func(o *unstructured.Unstructured) { set(t, o, true, pod("hostNetwork")...) }},
		{"a token", "the operator makes no pod with a token", func(o *unstructured.Unstructured) { set(t, o, true, pod("automountServiceAccountToken")...) }},
		{"root", "the operator makes no pod that may run as root", func(o *unstructured.Unstructured) {
			set(t, o, false, pod("securityContext", "runAsNonRoot")...)
		}},
	} {
		o := lander.DeepCopy()
		row.edit(o)
		if answer := b.refusal(t, o, as); !strings.Contains(answer, row.want) {
			t.Errorf("%s: %v\nwant %q", row.what, answer, row.want)
		}
	}
}
