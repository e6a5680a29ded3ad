package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// madeJobs tells, from the audit log, who made each Job of a pipeline, as often as it was made. Jobs themselves are no
// proof: old ones are deleted. What a story runs in a pod is a Job too, but not the pipeline's.
func (b *bed) madeJobs(t *testing.T, namespace, pipeline string) map[string][]string {
	t.Helper()
	made := map[string][]string{}
	b.eachEvent(t, func(e event) {
		if e.ObjectRef == nil || e.ObjectRef.Resource != "jobs" || e.ObjectRef.Subresource != "" || e.ObjectRef.Namespace != namespace || e.ResponseStatus.Code != 201 {
			return
		}
		if name := e.ObjectRef.Name; strings.HasPrefix(name, pipeline+"-") && strings.HasPrefix(e.User.Username, "system:") {
			made[name] = append(made[name], e.User.Username)
		}
	})
	return made
}

// slots are the Jobs of a CronJob, by the minute that they are for.
func slots(t *testing.T, made map[string][]string, cronJob string) map[int64][]string {
	t.Helper()
	of := map[int64][]string{}
	for name, by := range made {
		if minutes, found := strings.CutPrefix(name, cronJob+"-"); found {
			minute, err := strconv.ParseInt(minutes, 10, 64)
			if err != nil {
				t.Fatalf("%s does not end in its minute", name)
			}
			of[minute] = by
		}
	}
	return of
}

// noJobTwice asserts that each Job of a pipeline was made once, and tells how many there were.
func (b *bed) noJobTwice(t *testing.T, p *unstructured.Unstructured) map[string][]string {
	t.Helper()
	made := b.madeJobs(t, p.GetNamespace(), p.GetName())
	for name, by := range made {
		if len(by) != 1 {
			t.Errorf("%s was made %d times, by %v", name, len(by), by)
		}
	}
	t.Logf("%d Jobs, each made once", len(made))
	return made
}

// minutely is a report that is due each minute, and makes up for what it missed.
func minutely() map[string]any {
	return map[string]any{
		"name": "minutely", "builtin": "daily-ohlcv", "interval": "Minute", "dataDate": "Previous", "deadline": "1s",
		"schedule": map[string]any{"cron": "* * * * *"}, "catchUp": map[string]any{"policy": "All", "limit": int64(20)},
	}
}

// keyOf is the run that is due at a minute: that of the minute before it.
func keyOf(slot int64) string {
	return "report/minutely@" + time.Unix((slot-1)*60, 0).UTC().Format("2006-01-02T1504Z")
}

// awaitRuns waits until each run key of these slots has succeeded in S3, and asserts that each has one record: that of
// the schedule's own attempt.
func (b *bed) awaitRuns(t *testing.T, p *unstructured.Unstructured, first, last int64) {
	t.Helper()
	began, c := time.Now(), b.cloud(t)
	for {
		records, missing := c.records(t, p.GetName(), "minutely"), []string{}
		for slot := first; slot <= last; slot++ {
			if all := records[keyOf(slot)]; len(all) == 0 || all[0].State != "Succeeded" {
				missing = append(missing, fmt.Sprintf("%s %v", keyOf(slot), all))
			}
		}
		if len(missing) > 0 {
			if time.Since(began) > 6*time.Minute {
				t.Fatalf("in S3 there is no success of %s", strings.Join(missing, ", "))
			}
			time.Sleep(time.Second)
			continue
		}
		for key, all := range records {
			if len(all) != 1 || all[0].Attempt != 0 {
				t.Errorf("%s has the records %v, want one of attempt 0", key, all)
			}
		}
		t.Logf("%d run keys in S3, each with one record, %d of them asked for", len(records), last-first+1)
		return
	}
}

// scale sets how many pods a Deployment has, and waits until it has them.
func (b *bed) scale(t *testing.T, name string, replicas int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if _, err := b.dyn.Resource(deployments).Namespace(operator).Patch(context.Background(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	b.awaitOne(t, 2*time.Minute, fmt.Sprintf("%s has %d pods", name, replicas), deployments, operator, name, func(o *unstructured.Unstructured) string {
		ready := text(o, "status", "readyReplicas")
		if ready == "" {
			ready = "0"
		}
		if ready != fmt.Sprint(replicas) {
			return ready + " are ready"
		}
		return ""
	})
}

func missedRunsAreMadeUpFor(t *testing.T, b *bed) {
	b.ours(t)
	p := b.withPipeline(t, "missing", func(o *unstructured.Unstructured) {
		set(t, o, []any{minutely()}, "spec", "reports")
	})
	namespace, cronJob := p.GetNamespace(), p.GetName()+"-report-minutely"
	b.awaitOne(t, 3*time.Minute, "the schedule fires", pipelines, namespace, p.GetName(), func(o *unstructured.Unstructured) string {
		if r := report(o, "minutely"); r["state"] != "Succeeded" {
			return fmt.Sprint(r)
		}
		return ""
	})

	// Three slots and a little: what the story is about, not a wait for something.
	away := 3*time.Minute + 10*time.Second
	t.Log("the controllers of Kubernetes are away for three slots")
	back := b.takeAway(t, "stop", "kube-controller-manager")
	time.Sleep(away)
	back()
	t.Log("the operator is away for three slots")
	t.Cleanup(func() { b.scale(t, operator, 2) }) // whatever comes: there are other stories
	b.scale(t, operator, 0)
	time.Sleep(away)
	b.scale(t, operator, 2)
	until := time.Now().Unix()/60 - 1

	var first int64
	b.await(t, 8*time.Minute, "every slot has its Job", jobs, namespace, labelled("stockpipe.dev/pipeline="+p.GetName()+",stockpipe.dev/report=minutely"), func(objects) string {
		made := slots(t, b.madeJobs(t, namespace, p.GetName()), cronJob)
		first = until
		for minute := range made {
			first = min(first, minute)
		}
		var missing []string
		for minute := first; minute <= until; minute++ {
			if len(made[minute]) == 0 {
				missing = append(missing, time.Unix(minute*60, 0).UTC().Format("15:04"))
			}
		}
		if len(missing) > 0 {
			return "none of " + strings.Join(missing, ", ")
		}
		return ""
	})
	b.awaitRuns(t, p, first, until)
	replayed := 0
	for _, by := range slots(t, b.noJobTwice(t, p), cronJob) {
		if slices.Contains(by, "system:serviceaccount:"+operator+":"+operator) {
			replayed++
		}
	}
	if replayed == 0 {
		t.Error("the operator made up for no run: the story tells nothing")
	}
	t.Logf("every slot has one Job; the operator made %d of them", replayed)
	b.awaitOne(t, time.Minute, "the status tells the last of them", pipelines, namespace, p.GetName(), func(o *unstructured.Unstructured) string {
		r := report(o, "minutely")
		if key := fmt.Sprint(r["lastKey"]); key < keyOf(until) || r["state"] != "Succeeded" {
			return fmt.Sprintf("%v, want %s", r, keyOf(until))
		}
		return ""
	})
}
