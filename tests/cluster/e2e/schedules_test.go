package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// madeJobs counts, from the audit log, how often each Job of a CronJob was made, by its minute. Jobs themselves are
// no proof: old ones are deleted.
func (b *bed) madeJobs(t *testing.T, namespace, cronJob string) map[int64][]string {
	t.Helper()
	log, err := os.Open(filepath.Join(b.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	made := map[int64][]string{}
	lines := bufio.NewScanner(log)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e event
		// The last line may be half written.
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.ObjectRef == nil || e.ObjectRef.Resource != "jobs" || e.ObjectRef.Subresource != "" || e.ObjectRef.Namespace != namespace || e.ResponseStatus.Code != 201 {
			continue
		}
		minutes, found := strings.CutPrefix(e.ObjectRef.Name, cronJob+"-")
		if minute, err := strconv.ParseInt(minutes, 10, 64); found && err == nil {
			made[minute] = append(made[minute], e.User.Username)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return made
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

func missedRunsAreMadeUpFor(t *testing.T) {
	ofOurs(t)
	b := story(t)
	p := b.withPipeline(t, "missing", func(o *unstructured.Unstructured) {
		set(t, o, []any{map[string]any{
			"name": "minutely", "builtin": "daily-ohlcv", "interval": "Minute", "dataDate": "Previous", "deadline": "1s",
			"schedule": map[string]any{"cron": "* * * * *"}, "catchUp": map[string]any{"policy": "All", "limit": int64(20)},
		}}, "spec", "reports")
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
	b.control(t, "stop", "kube-controller-manager")
	time.Sleep(away)
	b.control(t, "start", "kube-controller-manager")
	t.Log("the operator is away for three slots")
	b.scale(t, operator, 0)
	time.Sleep(away)
	b.scale(t, operator, 2)
	until := time.Now().Unix()/60 - 1

	b.await(t, 8*time.Minute, "every slot has its Job", jobs, namespace, labelled("stockpipe.dev/pipeline="+p.GetName()+",stockpipe.dev/report=minutely"), func(objects) string {
		made := b.madeJobs(t, namespace, cronJob)
		first := until
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
	replayed := 0
	for minute, by := range b.madeJobs(t, namespace, cronJob) {
		if len(by) != 1 {
			t.Errorf("%s-%d was made %d times, by %v", cronJob, minute, len(by), by)
		}
		if slices.Contains(by, "system:serviceaccount:"+operator+":"+operator) {
			replayed++
		}
	}
	if replayed == 0 {
		t.Error("the operator made up for no run: the story tells nothing")
	}
	t.Logf("every slot has one Job; the operator made %d of them", replayed)
	b.awaitOne(t, 3*time.Minute, "the last of them has run", pipelines, namespace, p.GetName(), func(o *unstructured.Unstructured) string {
		r := report(o, "minutely")
		key := fmt.Sprint(r["lastKey"])
		if want := "report/minutely@" + time.Unix((until-1)*60, 0).UTC().Format("2006-01-02T1504Z"); key < want || r["state"] != "Succeeded" {
			return fmt.Sprintf("%v, want %s", r, want)
		}
		return ""
	})
}
