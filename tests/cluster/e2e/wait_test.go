package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// objects are those of one watch, by name.
type objects map[string]*unstructured.Unstructured

// await watches objects until is says nothing is missing; is says in a few words
// what still is. It is asked at each change, never by the clock.
func (b *bed) await(t *testing.T, within time.Duration, what string, r schema.GroupVersionResource, namespace string, of metav1.ListOptions, is func(objects) string) objects {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	missing := "nothing was seen"
	for {
		seen, err := b.follow(ctx, r, namespace, of, is, &missing)
		if err == nil {
			t.Logf("%s after %v", what, time.Since(began).Round(10*time.Millisecond))
			return seen
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: not within %v: %s (%v)", what, within, missing, err)
		}
		// The watch has ended, or the API server is away: a moment, then again.
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (b *bed) follow(ctx context.Context, r schema.GroupVersionResource, namespace string, of metav1.ListOptions, is func(objects) string, missing *string) (objects, error) {
	c := b.dyn.Resource(r).Namespace(namespace)
	list, err := c.List(ctx, of)
	if err != nil {
		return nil, err
	}
	seen := objects{}
	for i := range list.Items {
		seen[list.Items[i].GetName()] = &list.Items[i]
	}
	if *missing = is(seen); *missing == "" {
		return seen, nil
	}
	of.ResourceVersion = list.GetResourceVersion()
	w, err := c.Watch(ctx, of)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		o, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Error {
			return nil, fmt.Errorf("watch: %v", event.Object)
		}
		if event.Type == watch.Deleted {
			delete(seen, o.GetName())
		} else {
			seen[o.GetName()] = o
		}
		if *missing = is(seen); *missing == "" {
			return seen, nil
		}
	}
	return nil, fmt.Errorf("the watch ended: %w", context.Cause(ctx))
}

// named selects one object.
func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
}

// labelled selects objects by labels, as kubectl's -l.
func labelled(selector string) metav1.ListOptions { return metav1.ListOptions{LabelSelector: selector} }

// awaitOne watches one object until is says nothing is missing.
func (b *bed) awaitOne(t *testing.T, within time.Duration, what string, r schema.GroupVersionResource, namespace, name string, is func(*unstructured.Unstructured) string) *unstructured.Unstructured {
	t.Helper()
	return b.await(t, within, what, r, namespace, named(name), func(o objects) string {
		if o[name] == nil {
			return r.Resource + " " + name + " is not there"
		}
		return is(o[name])
	})[name]
}

// awaitGone watches until no object is selected.
func (b *bed) awaitGone(t *testing.T, within time.Duration, what string, r schema.GroupVersionResource, namespace string, of metav1.ListOptions) {
	t.Helper()
	b.await(t, within, what, r, namespace, of, func(o objects) string {
		var names []string
		for name := range o {
			names = append(names, name)
		}
		if len(names) == 0 {
			return ""
		}
		return "still there: " + strings.Join(names, ", ")
	})
}

// condition is one of an object's conditions.
type condition struct {
	Type, Status, Reason, Message string
	ObservedGeneration            int64
}

// conditionOf is an object's condition of that type, empty where it has none.
func conditionOf(o *unstructured.Unstructured, kind string) condition {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, one := range all {
		m, _ := one.(map[string]any)
		if m["type"] != kind {
			continue
		}
		text := func(key string) string { s, _ := m[key].(string); return s }
		seen, _ := m["observedGeneration"].(int64)
		return condition{kind, text("status"), text("reason"), text("message"), seen}
	}
	return condition{}
}

// isFor asserts what kstatus, by which kapp, Flux and kpt wait for anything, says of an object.
func (b *bed) isFor(t *testing.T, o *unstructured.Unstructured, want status.Status) {
	t.Helper()
	live, err := b.dyn.Resource(pipelines).Namespace(o.GetNamespace()).Get(context.Background(), o.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := status.Compute(live)
	if err != nil {
		t.Fatal(err)
	}
	if found.Status != want {
		t.Errorf("kstatus says that %s is %s (%s), want %s", o.GetName(), found.Status, found.Message, want)
	}
}

// hasCondition says what is missing until the object's condition of that type
// has that status, and is about its present spec.
func hasCondition(kind, status string) func(*unstructured.Unstructured) string {
	return func(o *unstructured.Unstructured) string {
		all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		var said []string
		for _, one := range all {
			m, _ := one.(map[string]any)
			text := func(key string) string { s, _ := m[key].(string); return s }
			seen, observes := m["observedGeneration"].(int64)
			if text("type") == kind && text("status") == status && (!observes || seen == o.GetGeneration()) {
				return ""
			}
			said = append(said, fmt.Sprintf("%s=%s(%s, generation %d: %s)", text("type"), text("status"), text("reason"), seen, text("message")))
		}
		return fmt.Sprintf("%s is not %s at generation %d: %s", kind, status, o.GetGeneration(), strings.Join(said, "; "))
	}
}
