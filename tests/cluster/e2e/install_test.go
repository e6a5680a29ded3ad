package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// text is a field of an object, or nothing.
func text(o *unstructured.Unstructured, path ...string) string {
	value, found, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	if !found {
		return ""
	}
	return fmt.Sprint(value)
}

// report is the status of a pipeline's report.
func report(o *unstructured.Unstructured, name string) map[string]any {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "reports")
	for _, one := range all {
		if r, ok := one.(map[string]any); ok && r["name"] == name {
			return r
		}
	}
	return nil
}

func oneChartAndOneFile(t *testing.T, b *bed) {
	t.Run("helm test passes", func(t *testing.T) { b.helm(t, "test", release, "-n", operator, "--timeout", "2m") })

	p := b.withPipeline(t, "first", func(o *unstructured.Unstructured) {
		// As in the notes, but for a report that is due within the minute.
		set(t, o, []any{map[string]any{
			"name": "minutely", "builtin": "daily-ohlcv", "interval": "Minute", "dataDate": "Previous",
			"schedule": map[string]any{"cron": "* * * * *"},
		}}, "spec", "reports")
		set(t, o, map[string]any{"schedule": map[string]any{"cron": "* * * * *"}}, "spec", "catalog", "crawler")
	})
	namespace, name := p.GetNamespace(), p.GetName()

	t.Run("ticks land", func(t *testing.T) {
		b.awaitOne(t, 2*time.Minute, "the status has a watermark", pipelines, namespace, name, func(o *unstructured.Unstructured) string {
			if text(o, "status", "consumer", "watermark") == "" {
				return "there is no watermark: " + fmt.Sprint(o.Object["status"])
			}
			return hasCondition("Landing", "True")(o)
		})
	})

	t.Run("its report runs, and the status tells the run", func(t *testing.T) { reportRuns(t, b, namespace, name) })

	t.Run("its crawl runs, and the status tells the crawl", func(t *testing.T) {
		b.awaitOne(t, 3*time.Minute, "the crawl's schedule fires, and the status tells the crawl", pipelines, namespace, name, func(o *unstructured.Unstructured) string {
			last, _, _ := unstructured.NestedMap(o.Object, "status", "catalog", "lastCrawl")
			if partitions, _ := last["partitions"].(int64); last["state"] != "Succeeded" || partitions == 0 {
				return fmt.Sprintf("no crawl that found partitions yet: %v", last)
			}
			return hasCondition("Cataloged", "True")(o)
		})
	})

	t.Run("each of its Jobs is a slot of the schedule, and none is made twice", func(t *testing.T) {
		list, err := b.dyn.Resource(jobs).Namespace(namespace).List(context.Background(), labelled("stockpipe.dev/report=minutely"))
		if err != nil || len(list.Items) == 0 {
			t.Fatalf("%v Jobs: %v", list, err)
		}
		slots := map[int64]string{}
		for _, job := range list.Items {
			minute, err := strconv.ParseInt(job.GetName()[strings.LastIndexByte(job.GetName(), '-')+1:], 10, 64)
			if err != nil {
				t.Errorf("%s does not end in its minute", job.GetName())
			}
			if other, doubled := slots[minute]; doubled {
				t.Errorf("%s and %s are of one slot", other, job.GetName())
			}
			slots[minute] = job.GetName()
		}
	})

	t.Run("its page is served, by name", func(t *testing.T) {
		b.awaitOne(t, time.Minute, "the page's pod is available", deployments, namespace, name+"-analyze", hasCondition("Available", "True"))
		page, err := b.kube.CoreV1().Services(namespace).ProxyGet("http", name+"-page", "80", "/", nil).DoRaw(context.Background())
		if err != nil || !strings.Contains(string(page), "<html") {
			t.Errorf("%v: %.200s", err, page)
		}
	})

	t.Run("kubectl get shows what it does", func(t *testing.T) {
		table, err := b.kubectl("", "get", "spl", name, "-n", namespace)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("kubectl get spl\n%s", table)
		for _, word := range []string{"NAME", "PHASE", name, "Running"} {
			if !strings.Contains(table, word) {
				t.Errorf("%q is not in\n%s", word, table)
			}
		}
	})

	t.Run("its pods are restricted and have no token of the API", func(t *testing.T) {
		list, err := b.kube.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "stockpipe.dev/pipeline=" + name})
		if err != nil || len(list.Items) < 3 {
			t.Fatalf("%d pods: %v", len(list.Items), err)
		}
		for _, pod := range list.Items {
			for _, volume := range pod.Spec.Volumes {
				if volume.Projected == nil {
					continue
				}
				for _, source := range volume.Projected.Sources {
					if source.ServiceAccountToken != nil {
						t.Errorf("%s mounts a token", pod.Name)
					}
				}
			}
		}
	})
}

// reportRuns waits for a run of the report that counts three symbols each minute.
func reportRuns(t *testing.T, b *bed, namespace, name string) {
	ran := b.awaitOne(t, 4*time.Minute, "the report's schedule fires, and the status tells the run", pipelines, namespace, name, func(o *unstructured.Unstructured) string {
		r := report(o, "minutely")
		if r["state"] == "Failed" {
			return fmt.Sprintf("the run failed: %v", r)
		}
		// The first interval may have begun before the pipeline: it has no rows.
		if rows, _ := r["rows"].(int64); r["state"] != "Succeeded" || rows == 0 {
			return fmt.Sprintf("no run with rows yet: %v", r)
		}
		return ""
	})
	r := report(ran, "minutely")
	if !regexp.MustCompile(`^report/minutely@\d{4}-\d\d-\d\dT\d{4}Z$`).MatchString(fmt.Sprint(r["lastKey"])) {
		t.Errorf("run key %v", r["lastKey"])
	}
	// Three symbols, one row each.
	if r["rows"] != int64(3) {
		t.Errorf("%v rows, want one for each of three symbols", r["rows"])
	}
	if scanned, _ := r["scannedBytes"].(int64); scanned <= 0 {
		t.Errorf("scanned %v bytes", r["scannedBytes"])
	}
	if cost, err := strconv.ParseFloat(fmt.Sprint(r["costUsd"]), 64); err != nil || cost <= 0 {
		t.Errorf("cost %v", r["costUsd"])
	}
	if !strings.HasPrefix(fmt.Sprint(r["output"]), "s3://stockpipe-"+name+"/") {
		t.Errorf("output %v", r["output"])
	}
}
