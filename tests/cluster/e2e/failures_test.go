package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// leader is the operator's pod that holds the Lease, once another stands by.
func (b *bed) leader(t *testing.T) string {
	t.Helper()
	b.awaitOne(t, 2*time.Minute, "two operators are ready", deployments, operator, operator, func(o *unstructured.Unstructured) string {
		if ready := text(o, "status", "readyReplicas"); ready != "2" {
			return ready + " are ready"
		}
		return ""
	})
	lease, err := b.kube.CoordinationV1().Leases(operator).Get(context.Background(), "stockpipe-operator", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// awaitOtherLeader waits until the Lease is another's.
func (b *bed) awaitOtherLeader(t *testing.T, old string) {
	t.Helper()
	b.awaitOne(t, time.Minute, "another leads", leases, operator, "stockpipe-operator", func(o *unstructured.Unstructured) string {
		if holder := text(o, "spec", "holderIdentity"); holder == old || holder == "" {
			return "held by " + holder
		}
		return ""
	})
}

// kill ends a pod at once, as a node's failure does.
func (b *bed) kill(t *testing.T, of metav1.ListOptions) {
	t.Helper()
	now := int64(0)
	if err := b.kube.CoreV1().Pods(operator).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, of); err != nil {
		t.Fatal(err)
	}
}

// anyReady asks for a pod that is ready and is none of old.
func anyReady(old objects) func(objects) string {
	return func(seen objects) string {
		for name, pod := range seen {
			if old[name] == nil && hasCondition("Ready", "True")(pod) == "" {
				return ""
			}
		}
		return fmt.Sprintf("%d pods, none of them new and ready", len(seen))
	}
}

// converges changes the pipeline, and waits until the change has come through.
func (b *bed) converges(t *testing.T, p *unstructured.Unstructured, why string) {
	t.Helper()
	set(t, p, map[string]any{"example.com/why": why}, "spec", "producer", "template", "annotations")
	b.apply(t, p)
	b.awaitOne(t, 3*time.Minute, "a change comes through "+why, pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
	b.awaitOne(t, time.Minute, "the producer has it", statefulSets, p.GetNamespace(), p.GetName()+"-produce", func(o *unstructured.Unstructured) string {
		if got := text(o, "spec", "template", "metadata", "annotations", "example.com/why"); got != why {
			return fmt.Sprintf("annotation %q", got)
		}
		return ""
	})
}

func failuresAreOutlived(t *testing.T, b *bed) {
	// Files are closed soon, so that each point of the write path comes soon.
	p := b.withPipeline(t, "outliving", func(o *unstructured.Unstructured) {
		set(t, o, "2s", "spec", "lake", "roll", "maxAge")
		set(t, o, []any{minutely()}, "spec", "reports")
	})
	operators := labelled("app.kubernetes.io/component=operator")

	t.Run("the leader hangs", func(t *testing.T) {
		b.ours(t)
		old := b.leader(t)
		pod, err := b.kube.CoreV1().Pods(operator).Get(context.Background(), strings.SplitN(old, "_", 2)[0], metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pid := processOf(t, pod, "stockpipe-operator")
		began := time.Now()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// Whatever comes: a process that hangs is nobody's to find.
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		b.awaitOtherLeader(t, old)
		if after := time.Since(began); after > 20*time.Second {
			t.Errorf("failover took %v, want less than 20 s", after)
		}
		took("failover: the leader hangs", time.Since(began))
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		b.awaitOne(t, 2*time.Minute, "who led before has ended, and is started again", pods, operator, pod.Name, func(o *unstructured.Unstructured) string {
			var now corev1.Pod
			decode(t, o.Object, &now)
			for _, c := range now.Status.ContainerStatuses {
				if c.RestartCount == pod.Status.ContainerStatuses[0].RestartCount {
					return "it has not ended"
				}
			}
			return hasCondition("Ready", "True")(o)
		})
		b.converges(t, p, "after the leader's hanging")
	})

	t.Run("the leader is asked to end", func(t *testing.T) {
		old := b.leader(t)
		began := time.Now()
		if err := b.kube.CoreV1().Pods(operator).Delete(context.Background(), strings.SplitN(old, "_", 2)[0], metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		b.awaitOtherLeader(t, old)
		took("failover: the leader is asked to end", time.Since(began))
		b.converges(t, p, "after the leader's leave")
	})

	t.Run("the leader is killed", func(t *testing.T) {
		old := b.leader(t)
		began := time.Now()
		b.kill(t, named(strings.SplitN(old, "_", 2)[0]))
		b.awaitOtherLeader(t, old)
		if after := time.Since(began); after > 20*time.Second {
			t.Errorf("failover took %v, want less than 20 s", after)
		}
		took("failover: the leader's pod is killed", time.Since(began))
		b.converges(t, p, "after the leader's end")
	})

	t.Run("both operators are killed", func(t *testing.T) {
		b.kill(t, operators)
		b.converges(t, p, "after both operators' end")
	})

	t.Run("a lander is killed", func(t *testing.T) {
		landers := labelled("stockpipe.dev/pipeline=outliving,app.kubernetes.io/component=land")
		old := b.await(t, time.Minute, "a lander runs", pods, operator, landers, anyReady(nil))
		b.kill(t, landers)
		b.await(t, 2*time.Minute, "another lands", pods, operator, landers, anyReady(old))
	})

	t.Run("a lander is killed at each point of its write path", func(t *testing.T) { b.killAtEachPoint(t, p) })

	t.Run("the API server is away for a minute", func(t *testing.T) {
		b.ours(t)
		back := b.takeAway(t, "stop", "kube-apiserver")
		time.Sleep(time.Minute) // what the story is about, not a wait for something
		back()
		b.converges(t, p, "after the API server's absence")
	})

	t.Run("the kubelet is frozen for a minute", func(t *testing.T) {
		b.ours(t)
		back := b.takeAway(t, "freeze", "kubelet")
		time.Sleep(time.Minute) // as above
		b.awaitOne(t, time.Minute, "the node is lost", nodes, "", "testcluster", hasCondition("Ready", "Unknown"))
		back()
		b.awaitOne(t, time.Minute, "the node is back", nodes, "", "testcluster", hasCondition("Ready", "True"))
		b.converges(t, p, "after the kubelet's absence")
	})

	t.Run("and no Job was made twice, and each run has one record", func(t *testing.T) {
		b.ours(t)
		// What was due while nobody could make its Job is made up for.
		made := slots(t, b.madeJobs(t, p.GetNamespace(), p.GetName()), p.GetName()+"-report-minutely")
		last := time.Now().Unix()/60 - 1
		first := last
		for slot := range made {
			first = min(first, slot)
		}
		if last-first < 3 {
			t.Fatalf("only %d runs were due meanwhile: the story tells nothing", last-first+1)
		}
		b.awaitRuns(t, p, first, last)
		b.noJobTwice(t, p)
	})

	t.Run("and nothing is lost or doubled", func(t *testing.T) {
		b.sound(t, p)
	})
}

// verified is what `stockpipe verify` says of a lake.
type verified struct {
	Sequences struct{ Rows, Missing, Doubled int64 }
	Findings  struct {
		Count int64
		List  []finding
	}
}

type finding struct{ Message string }

// killAtEachPoint has landers kill themselves, as kill -9 does, at each named point, and be started again.
func (b *bed) killAtEachPoint(t *testing.T, p *unstructured.Unstructured) {
	points := strings.Fields(b.inPod(t, p, "points", "/usr/bin/stockpipe-worker", "failpoints"))
	killed := 0
	for _, point := range points {
		// Between two publishes there is something only where a range has several directories: a history of days has some.
		if !strings.HasPrefix(point, "land.") || point == betweenPublishes {
			continue
		}
		b.killAt(t, p, point)
		killed++
	}
	if killed < 10 {
		t.Errorf("killed at %d points of %v", killed, points)
	}
	b.killNoMore(t, p)
	b.sound(t, p)
}

// betweenPublishes is the point between two directories of one range.
const betweenPublishes = "land.between-publishes"

// killAt has landers kill themselves at a point, and waits until one of them has.
func (b *bed) killAt(t *testing.T, p *unstructured.Unstructured, point string) {
	t.Helper()
	set(t, p, []any{map[string]any{"name": "STOCKPIPE_FAILPOINT", "value": point}}, "spec", "consumer", "template", "env")
	b.apply(t, p)
	landers := labelled("stockpipe.dev/pipeline=" + p.GetName() + ",app.kubernetes.io/component=land")
	b.await(t, 2*time.Minute, "killed at "+point, pods, p.GetNamespace(), landers, func(seen objects) string {
		for _, o := range seen {
			var pod corev1.Pod
			decode(t, o.Object, &pod)
			for _, e := range pod.Spec.Containers[0].Env {
				if e.Name != "STOCKPIPE_FAILPOINT" || e.Value != point {
					continue
				}
				for _, c := range pod.Status.ContainerStatuses {
					if c.RestartCount > 0 || c.State.Terminated != nil {
						return ""
					}
				}
			}
		}
		return "it lives"
	})
}

// killNoMore lets landers live.
func (b *bed) killNoMore(t *testing.T, p *unstructured.Unstructured) {
	t.Helper()
	set(t, p, []any{}, "spec", "consumer", "template", "env")
	b.apply(t, p)
	b.awaitOne(t, 2*time.Minute, "Ready", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
}

// verify runs `stockpipe verify` in a pod that has the lander's file and secrets.
func (b *bed) verify(t *testing.T, p *unstructured.Unstructured) verified {
	t.Helper()
	out := b.inPod(t, p, "verify", "/usr/bin/stockpipe", "verify", "--output", "json", "--data", "/tmp/data", "--secrets", "/etc/stockpipe/secrets", "/etc/stockpipe/pipeline.yaml")
	var report verified
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return report
}

// inPod runs a command in a pod that has the lander's file and secrets, to its end; what it said.
func (b *bed) inPod(t *testing.T, p *unstructured.Unstructured, what string, command ...string) string {
	t.Helper()
	ctx := context.Background()
	var land appsv1.Deployment
	o, err := b.dyn.Resource(deployments).Namespace(p.GetNamespace()).Get(ctx, p.GetName()+"-land", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	decode(t, o.Object, &land)
	pod := land.Spec.Template.Spec
	pod.RestartPolicy, pod.TopologySpreadConstraints, pod.ServiceAccountName = corev1.RestartPolicyNever, nil, "default"
	c := &pod.Containers[0]
	c.Command = command
	c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "STOCKPIPE_FAILPOINT" })
	// What it prints and what it logs are one text.
	c.Env = append(c.Env, corev1.EnvVar{Name: "STOCKPIPE_LOG", Value: "error"})
	c.Args, c.Ports, c.LivenessProbe, c.ReadinessProbe = nil, nil, nil, nil
	delete(c.Resources.Limits, corev1.ResourceCPU)
	name, never := p.GetName()+"-"+what, int32(0)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       batchv1.JobSpec{BackoffLimit: &never, Template: corev1.PodTemplateSpec{Spec: pod}},
	}
	if _, err := b.kube.BatchV1().Jobs(p.GetNamespace()).Create(ctx, job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		background := metav1.DeletePropagationBackground
		if err := b.kube.BatchV1().Jobs(p.GetNamespace()).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			t.Error(err)
		}
		b.awaitGone(t, time.Minute, "its Job is gone", jobs, p.GetNamespace(), named(name))
	}()
	b.awaitOne(t, 3*time.Minute, what+" has ended", jobs, p.GetNamespace(), name, func(o *unstructured.Unstructured) string {
		if text(o, "status", "succeeded") == "1" || text(o, "status", "failed") == "1" {
			return ""
		}
		return "it runs"
	})
	out, err := b.kubectl("", "logs", "-n", p.GetNamespace(), "job/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
