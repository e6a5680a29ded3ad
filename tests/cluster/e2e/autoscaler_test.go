package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Of the autoscaler: between two changes of direction, and between two reports of a worker.
const (
	stabilisation = 5 * time.Minute
	pollRound     = 15 * time.Second
)

// scaling is one change of a pipeline's number of landers.
type scaling struct {
	at       time.Time
	from, to int64
}

// scalings follows how many landers a pipeline is to have, until the test ends; asked, it tells the changes so far.
func (b *bed) scalings(t *testing.T, p *unstructured.Unstructured) func() []scaling {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var all []scaling
	last, name := int64(-1), p.GetName()+"-land"
	note := func(seen objects) string {
		if seen[name] == nil {
			return "it is not there"
		}
		replicas, _, _ := unstructured.NestedInt64(seen[name].Object, "spec", "replicas")
		mu.Lock()
		defer mu.Unlock()
		if last >= 0 && replicas != last {
			all = append(all, scaling{time.Now(), last, replicas})
		}
		last = replicas
		return "it goes on"
	}
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil {
			var missing string
			// A watch that ends begins anew with a list.
			_, _ = b.follow(ctx, deployments, p.GetNamespace(), named(name), note, &missing)
		}
	})
	t.Cleanup(func() { cancel(); following.Wait() })
	return func() []scaling {
		mu.Lock()
		defer mu.Unlock()
		return append([]scaling(nil), all...)
	}
}

// wantsLanders waits until a pipeline's Deployment is to have a number of landers that is right.
func (b *bed) wantsLanders(t *testing.T, within time.Duration, what string, p *unstructured.Unstructured, right func(int64) bool) int64 {
	t.Helper()
	land := b.awaitOne(t, within, what, deployments, p.GetNamespace(), p.GetName()+"-land", func(o *unstructured.Unstructured) string {
		if replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); !right(replicas) {
			return fmt.Sprintf("%d landers are wanted", replicas)
		}
		return ""
	})
	replicas, _, _ := unstructured.NestedInt64(land.Object, "spec", "replicas")
	return replicas
}

// lag adds up what the landers say has not landed, -1 while nobody says it of a partition, and the rows that they landed.
func (b *bed) lag(p *unstructured.Unstructured) (lag, rows int64) {
	ctx := context.Background()
	list, err := b.kube.CoreV1().Pods(p.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: "stockpipe.dev/pipeline=" + p.GetName() + ",app.kubernetes.io/component=land"})
	if err != nil {
		return -1, 0
	}
	lag = -1
	for _, pod := range list.Items {
		raw, err := b.kube.CoreV1().Pods(p.GetNamespace()).ProxyGet("http", pod.Name, "9100", "/status", nil).DoRaw(ctx)
		status := struct {
			RowsTotal  int64
			Partitions []struct{ Lag int64 }
		}{}
		if err != nil || json.Unmarshal(raw, &status) != nil {
			continue
		}
		rows += status.RowsTotal
		for _, partition := range status.Partitions {
			lag = max(lag, 0) + partition.Lag
		}
	}
	return lag, rows
}

// awaitLag asks the landers until the lag is right.
func (b *bed) awaitLag(t *testing.T, within time.Duration, what string, p *unstructured.Unstructured, right func(int64) bool) {
	t.Helper()
	began, lag := time.Now(), int64(-1)
	for ; time.Since(began) < within; time.Sleep(500 * time.Millisecond) {
		if lag, _ = b.lag(p); lag >= 0 && right(lag) {
			t.Logf("%s after %v: %d", what, time.Since(began).Round(10*time.Millisecond), lag)
			return
		}
	}
	t.Fatalf("%s: not within %v: the lag is %d", what, within, lag)
}

// closedMarket is an exchange that is closed now, and not about to open.
func closedMarket(now time.Time) string {
	// Tokyo trades from 0:00 to 6:30 UTC, New York from 13:30 to 21:00, summer and winter taken together.
	if hour := now.UTC().Hour(); hour >= 7 && hour < 22 {
		return "XTKS"
	}
	return "XNYS"
}

func landersFollowTheLag(t *testing.T, b *bed) {
	// A day and a half of ticks and more is made at once, and a lander has little CPU: what Kafka takes within seconds
	// lands within minutes.
	start := time.Now().UTC().Add(-36 * time.Hour).Format(time.DateOnly)
	const burst = int64(400_000)
	p := b.withPipeline(t, "bursting", func(o *unstructured.Unstructured) {
		unstructured.RemoveNestedField(o.Object, "spec", "reports")
		set(t, o, []any{"AAPL", "AMZN", "GOOGL", "IBM", "JPM", "KO", "META", "MSFT", "NVDA", "ORCL", "TSLA", "WMT"}, "spec", "market", "symbols")
		set(t, o, map[string]any{"seed": int64(42), "ticksPerSecond": int64(9), "start": start}, "spec", "source", "simulated")
		set(t, o, map[string]any{"maxReplicas": int64(3), "drainTarget": "30s"}, "spec", "consumer", "autoscaling")
		set(t, o, map[string]any{
			"requests": map[string]any{"cpu": "10m", "memory": "128Mi"}, "limits": map[string]any{"cpu": "20m", "memory": "640Mi"},
		}, "spec", "consumer", "resources")
		set(t, o, "5s", "spec", "lake", "roll", "maxAge")
	})
	changes := b.scalings(t, p)

	t.Run("it stands still while a worker's report is missing", func(t *testing.T) {
		b.awaitLag(t, 2*time.Minute, "the burst is in Kafka", p, func(lag int64) bool { return lag > burst })
		set(t, p, map[string]any{"example.com/no-node": "has-this"}, "spec", "producer", "template", "nodeSelector")
		b.apply(t, p)
		b.awaitOne(t, 2*time.Minute, "the producer is away", pods, p.GetNamespace(), p.GetName()+"-produce-0", func(o *unstructured.Unstructured) string {
			if phase := text(o, "status", "phase"); phase != "Pending" || o.GetDeletionTimestamp() != nil {
				return phase
			}
			return ""
		})
		// A minute of reports is enough to decide, and three rounds to do so: what the story is about, not a wait for something.
		time.Sleep(time.Minute + 3*pollRound)
		if lag, _ := b.lag(p); lag < burst/10 {
			t.Fatalf("the lag is %d: whether the autoscaler stood still cannot be told", lag)
		}
		if all := changes(); len(all) > 0 {
			t.Errorf("it decided without the producer's report: %+v", all)
		}
	})

	t.Run("lag brings landers", func(t *testing.T) {
		began := time.Now()
		unstructured.RemoveNestedField(p.Object, "spec", "producer", "template", "nodeSelector")
		b.apply(t, p)
		landers := b.wantsLanders(t, 3*time.Minute, "more landers are wanted", p, func(n int64) bool { return n > 1 })
		if landers > 3 {
			t.Errorf("%d landers for three partitions", landers)
		}
		took("complete reports of lag → more landers", time.Since(began))
		b.awaitOne(t, 2*time.Minute, "they run", deployments, p.GetNamespace(), p.GetName()+"-land", func(o *unstructured.Unstructured) string {
			if ready := text(o, "status", "readyReplicas"); ready != fmt.Sprint(landers) {
				return ready + " are ready"
			}
			return ""
		})
		b.awaitLag(t, 6*time.Minute, "all of it has landed but what waits for its file", p, func(lag int64) bool { return lag < 1_000 })
		took("more landers → drained", time.Since(began))
	})

	t.Run("the calendar brings zero, and wakes them", func(t *testing.T) { calendarSetsLanders(t, b) })

	t.Run("calm takes them away, and they never turn twice within a window", func(t *testing.T) {
		most := changes()
		if len(most) == 0 {
			t.Fatal("they never were more")
		}
		b.wantsLanders(t, 3*stabilisation, "fewer landers are wanted", p, func(n int64) bool { return n < most[len(most)-1].to })
		all := changes()
		for i := 1; i < len(all); i++ {
			apart := all[i].at.Sub(all[i-1].at)
			turned := (all[i].to > all[i].from) != (all[i-1].to > all[i-1].from)
			// Both are seen through a watch: a little late, one perhaps less so than the other.
			if turned && apart < stabilisation-pollRound {
				t.Errorf("they turned after %v: %+v", apart, all)
			}
		}
		for _, one := range all {
			t.Logf("%s: %d → %d landers", one.at.UTC().Format(time.TimeOnly), one.from, one.to)
		}
	})
	b.sound(t, p)
}

// calendarSetsLanders has a market that is closed now, and opens it.
func calendarSetsLanders(t *testing.T, b *bed) {
	market := closedMarket(time.Now())
	t.Logf("%s is closed", market)
	p := b.withPipeline(t, "closing", func(o *unstructured.Unstructured) {
		unstructured.RemoveNestedField(o.Object, "spec", "reports")
		// The longest holidays are shorter, so that a session is in it.
		start := time.Now().UTC().AddDate(0, 0, -10).Format(time.DateOnly)
		set(t, o, market, "spec", "market", "calendar")
		set(t, o, map[string]any{"seed": int64(42), "ticksPerSecond": int64(1), "start": start}, "spec", "source", "simulated")
		set(t, o, map[string]any{"maxReplicas": int64(2), "outsideSession": map[string]any{"replicas": int64(0), "wakeBefore": "1m"}}, "spec", "consumer", "autoscaling")
		set(t, o, "2s", "spec", "lake", "roll", "maxAge")
	})
	landers := labelled("stockpipe.dev/pipeline=closing,app.kubernetes.io/component=land")
	b.wantsLanders(t, 5*time.Minute, "the last session has landed, and no lander is wanted", p, func(n int64) bool { return n == 0 })
	b.awaitGone(t, 3*time.Minute, "no lander runs", pods, p.GetNamespace(), landers)
	asleep := b.awaitOne(t, time.Minute, "it is Ready: as its spec wants it", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
	if said := hasCondition("none", "")(asleep); !strings.Contains(said, "OutsideSession") {
		t.Errorf("no condition says that the market is closed: %s", said)
	}
	b.sound(t, p)
	began := time.Now()
	set(t, p, "24x7", "spec", "market", "calendar")
	b.apply(t, p)
	b.wantsLanders(t, time.Minute, "the market opens, and landers are wanted", p, func(n int64) bool { return n > 0 })
	b.await(t, 2*time.Minute, "a lander runs", pods, p.GetNamespace(), landers, anyReady(nil))
	took("the market opens → a lander is ready", time.Since(began))
	b.awaitLanded(t, p)
	b.sound(t, p)
}
