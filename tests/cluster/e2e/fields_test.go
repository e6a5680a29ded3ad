package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"
)

// field is one of a pipeline's spec; changed, it touches children, or is refused with a sentence.
type field struct {
	path    string
	value   any
	touches []string
	refused string // with unsupported or ofOneKind, all below the path is
	at      string // what value replaces, where that is not the field itself
	stays   bool   // it is not changed back
}

// Who reads what.
var (
	everybody  = []string{"analyze", "crawl", "land", "produce", "provision", "report-count"}
	ofAWS      = []string{"analyze", "crawl", "land", "provision", "report-count"}
	ofMarket   = []string{"analyze", "produce", "report-count"}
	ofReport   = []string{"analyze", "report-count"}
	onlyLand   = []string{"land"}
	onlyMake   = []string{"produce"}
	onlyBefore = []string{"provision"}
	onlyCrawl  = []string{"crawl"}
	ofCrawler  = []string{"crawl", "provision"}
	nobody     = []string{}
)

const (
	immutable   = "is immutable: data already lies under the old value; make a pipeline of another name instead"
	unsupported = "is not supported in this version"
	ofOneKind   = "is of an immutable kind; make a pipeline of another name instead"
)

// whole are types that go to their reader as they are: that one of their fields is read says that all are. Those within
// a template are Kubernetes' own.
var whole = []string{"template.affinity", "template.tolerations", "template.topologySpread", "live.feed.messages"}

// accounts are service accounts of a pipeline.
func accounts(names ...string) []string {
	all := []string{}
	for _, name := range names {
		all = append(all, "serviceaccounts/"+name)
	}
	return all
}

func and(lists ...[]string) []string { return slices.Sorted(slices.Values(slices.Concat(lists...))) }

// cloudHost is the local cloud's name in the cluster.
const cloudHost = release + "-local-cloud." + operator + ".svc.cluster.local"

// endpoints are those of aws, which has nothing else than what more says.
func endpoints(more ...any) map[string]any {
	address := "http://" + cloudHost + ":9000"
	aws := map[string]any{"endpoints": map[string]any{"s3": address, "glue": address, "athena": address}}
	for i := 0; i < len(more); i += 2 {
		aws[more[i].(string)] = more[i+1]
	}
	return aws
}

// ofSimulated is a row for each field of the spec, but those that changesTouchOnlyWhatReadsThem changes while pods run,
// and those of a replay. The pipeline has what withEverything sets.
func ofSimulated(monitored bool) []field {
	address := "http://" + cloudHost + ":9000"
	podMonitor, rules := nobody, nobody
	if monitored {
		podMonitor, rules = []string{"podmonitors/"}, []string{"prometheusrules/"}
	}
	const instant = "2026-11-20T16:00:00Z"
	simulated := func(more ...any) map[string]any {
		s := map[string]any{"clock": "FromStart", "start": "2026-01-05"}
		for i := 0; i < len(more); i += 2 {
			s[more[i].(string)] = more[i+1]
		}
		return s
	}
	rows := []field{
		{path: "suspend", value: false, touches: []string{"analyze", "crawl", "land", "produce", "report-count"}},
		{path: "version", value: "0.0.9", touches: everybody},
		{path: "market.calendar", value: "XNYS", touches: ofMarket},
		{path: "market.symbols", value: []any{"KO"}, touches: ofMarket},
		{path: "market.universe.size", value: int64(5), touches: ofMarket},
		{path: "source.simulated.seed", value: int64(7), touches: ofMarket},
		{path: "source.simulated.speed", value: int64(2), touches: ofMarket},
		{path: "source.simulated.topTicksPerSecond", at: "source.simulated", value: map[string]any{"topTicksPerSecond": int64(50)}, touches: ofMarket},
		{path: "source.simulated.start", value: "2026-01-05", touches: ofMarket},
		{path: "source.simulated.clock", at: "source.simulated", value: simulated(), touches: ofMarket},
		{path: "source.simulated.skipClosed", at: "source.simulated", value: simulated("skipClosed", true), touches: ofMarket},
		{path: "source.simulated.scenarios[].kind", value: "crisis", touches: ofMarket},
		{path: "source.simulated.scenarios[].from", value: "2026-11-20T14:00:00Z", touches: ofMarket},
		{path: "source.simulated.scenarios[].to", value: instant, touches: ofMarket},
		{path: "source.simulated.scenarios[].symbol", value: "MSFT", touches: ofMarket},
		{path: "source.simulated.disorder.late", value: "0.1%", touches: ofMarket},
		{path: "source.simulated.disorder.corrections", value: "0.1%", touches: ofMarket},
		{path: "source.replay.uri", at: "source", value: map[string]any{"replay": replay()}, refused: ofOneKind},
		{path: "source.live.preset", at: "source", value: map[string]any{"live": map[string]any{"preset": "coinbase"}}, refused: ofOneKind},
		{path: "kafka.bootstrapServers", value: cloudHost + ":9092", touches: everybody},
		{path: "kafka.groupProtocol", value: "consumer", touches: onlyLand},
		{path: "kafka.authentication", value: map[string]any{"type": "Plain"}, refused: unsupported},
		{path: "kafka.tls", value: map[string]any{}, refused: unsupported},
		{path: "kafka.topic.config", value: map[string]any{"retention.ms": "86400000"}, touches: onlyBefore},
		{path: "kafka.topic.deletionPolicy", value: "Delete", touches: nobody},
		{path: "kafka.topic.name", value: "another.ticks", refused: immutable},
		{path: "kafka.topic.replicationFactor", value: int64(2), refused: immutable},
		{path: "kafka.topic.partitions", value: int64(2), refused: "may only grow: Kafka cannot take partitions away"},
		{path: "kafka.topic.partitions", value: int64(4), touches: onlyBefore, stays: true},
		{path: "producer.replicas", value: int64(2), refused: "of more than 1 is not supported in this version; write 1"},
		{path: "consumer.replicas", value: int64(3), refused: "is set by the autoscaler; change autoscaling.minReplicas and maxReplicas, or remove autoscaling"},
		{path: "consumer.autoscaling.maxReplicas", value: int64(2), touches: nobody},
		{path: "consumer.autoscaling.minReplicas", value: int64(2), touches: nobody},
		{path: "consumer.autoscaling.drainTarget", value: "30s", touches: nobody},
		{path: "consumer.autoscaling.outsideSession.replicas", value: int64(1), touches: nobody},
		{path: "consumer.autoscaling.outsideSession.wakeBefore", value: "5m", touches: nobody},
		{path: "consumer.memoryBudget", value: "128Mi", touches: onlyLand},
		{path: "lake.bucket", value: "another", refused: immutable},
		{path: "lake.prefix", value: "another", refused: immutable},
		{path: "lake.partitionBy", value: "Day", refused: immutable},
		{path: "lake.format", value: "Json", refused: immutable},
		{path: "lake.compression", value: "Snappy", touches: onlyLand},
		{path: "lake.roll.maxRows", value: int64(500_000), touches: onlyLand},
		{path: "lake.roll.maxBytes", value: "64Mi", touches: onlyLand},
		{path: "lake.roll.maxFilesPerRange", value: int64(32), touches: onlyLand},
		{path: "lake.idleTimeout", value: "90s", touches: onlyLand},
		{path: "lake.allowedLateness", value: "5s", touches: onlyLand},
		{path: "lake.abortUploadsAfter", value: "3d", touches: onlyBefore},
		{path: "lake.deletionPolicy", value: "Delete", touches: nobody},
		{path: "catalog.database", value: "another", refused: immutable},
		{path: "catalog.table", value: "another", refused: immutable},
		{path: "catalog.crawler.target", at: "catalog.crawler", value: map[string]any{"schedule": map[string]any{"cron": "0 0 1 1 *"}}, touches: ofCrawler},
		{path: "catalog.crawler.recrawl", value: "NewFolders", touches: ofCrawler},
		{path: "catalog.crawler.tablePrefix", value: "another_", touches: ofCrawler},
		{path: "catalog.crawler.roleArn", value: "arn:aws:iam::123456789012:role/x", touches: ofCrawler},
		{path: "catalog.crawler.timeout", value: "2h", touches: onlyCrawl},
		{path: "catalog.crawler.schedule.cron", value: "0 0 2 1 *", touches: onlyCrawl},
		{path: "catalog.crawler.schedule.suspend", value: true, touches: onlyCrawl},
		{path: "catalog.crawler.schedule.timeZone", value: "Asia/Tokyo", touches: onlyCrawl},
		{path: "catalog.crawler.catchUp.policy", value: "Last", touches: onlyCrawl},
		{path: "catalog.crawler.catchUp.limit", at: "catalog.crawler.catchUp", value: map[string]any{"policy": "Last", "limit": int64(2)}, refused: "has a limit that only policy All reads"},
		{path: "catalog.schemaRegistry", value: map[string]any{"name": "ticks"}, refused: unsupported},
		{path: "transforms", value: []any{map[string]any{"name": "x", "sql": map[string]any{"query": "SELECT 1", "output": "x"}}}, refused: unsupported},
		{path: "reports[].name", at: "reports", value: []any{renamed()}, touches: []string{"analyze", "provision", "report-count", "report-renamed"}},
		{path: "reports[].builtin", at: "reports", value: []any{builtin()}, touches: ofReport},
		{path: "reports[].interval", value: "Hour", touches: ofReport},
		{path: "reports[].dataDate", value: "SameDay", touches: ofReport},
		{path: "reports[].deadline", value: "1h", touches: ofReport},
		{path: "reports[].maxScannedBytes", value: "2Gi", touches: []string{"analyze", "provision", "report-count"}},
		{path: "reports[].catchUp.policy", value: "Last", touches: ofReport},
		{path: "reports[].catchUp.limit", at: "reports[].catchUp", value: map[string]any{"policy": "All", "limit": int64(3)}, touches: ofReport},
		{path: "reports[].schedule.cron", value: "0 0 2 1 *", touches: ofReport},
		{path: "reports[].schedule.suspend", value: true, touches: ofReport},
		{path: "reports[].schedule.timeZone", value: "Asia/Tokyo", touches: ofReport},
		{path: "reports[].sql.query", value: "SELECT 2", touches: ofReport},
		{path: "reports[].sql.configMapKeyRef", value: map[string]any{"name": "x", "key": "y"}, refused: unsupported},
		{path: "reports[].destinations", value: []any{map[string]any{"webhook": map[string]any{"urlSecretRef": map[string]any{"name": release + "-local-cloud-keys"}}}}, refused: unsupported},
		{path: "monitoring.dashboard.enabled", value: false, touches: []string{"analyze", "services/page"}},
		{path: "monitoring.prometheus.podMonitor", value: true, touches: podMonitor},
		{path: "monitoring.prometheus.rules", value: true, touches: rules},
		{path: "monitoring.otlp", value: map[string]any{"endpoint": "http://x:4317"}, refused: unsupported},
		{path: "monitoring.objectives", value: map[string]any{"freshness": map[string]any{"target": "99.9%", "within": "120s"}}, refused: unsupported},
		{path: "provisioning", value: "Verify", touches: onlyBefore},
		{path: "provisioning", value: "None", touches: onlyBefore},
		{path: "aws.region", value: "eu-central-1", touches: ofAWS},
		{path: "aws.s3PathStyle", value: false, touches: ofAWS},
		{path: "aws.endpoints.s3", value: address, touches: ofAWS},
		{path: "aws.endpoints.glue", value: address, touches: ofAWS},
		{path: "aws.endpoints.athena", value: address, touches: ofAWS},
		{path: "aws.endpoints.sts", value: "http://x", refused: unsupported},
		{path: "aws.credentialsSecretRef.name", value: "another", touches: ofAWS},
		{path: "aws.roleArn", at: "aws", value: endpoints("roleArn", arn("x")), touches: and(ofAWS, accounts(""))},
		{path: "aws.serviceAccountName", at: "aws", value: endpoints("serviceAccountName", "default"), touches: and(everybody, accounts(""))},
		// From here on each worker has an identity of its own: a change of one touches its service account alone, as a pod
		// takes the role from there when it is made.
		{path: "aws.roles.land", at: "aws", value: endpoints("roles", map[string]any{"land": arn("x")}), stays: true,
			touches: and(everybody, accounts("", "analyze", "crawl", "land", "produce", "provision", "report"))},
		{path: "aws.roles.land", value: arn("another"), touches: accounts("land")},
		{path: "aws.roles.analyze", value: arn("another"), touches: accounts("analyze")},
		{path: "aws.roles.crawl", value: arn("another"), touches: accounts("crawl")},
		{path: "aws.roles.produce", value: arn("another"), touches: accounts("produce")},
		{path: "aws.roles.provision", value: arn("another"), touches: accounts("provision")},
		{path: "aws.roles.report", value: arn("another"), touches: accounts("report")},
		{path: "aws.roles.transform", value: arn("another"), touches: nobody},
	}
	for _, of := range []struct {
		worker  string
		touches []string
	}{{"producer", onlyMake}, {"consumer", onlyLand}} {
		for _, one := range []struct {
			key   string
			value any
		}{
			{"resources.requests.cpu", "50m"},
			{"resources.requests.memory", "100Mi"},
			{"resources.requests.ephemeral-storage", "1Gi"},
			{"resources.limits.cpu", "3"},
			{"resources.limits.memory", "800Mi"},
			{"resources.limits.ephemeral-storage", "2Gi"},
			{"template.labels", map[string]any{"example.com/team": "data"}},
			{"template.env[].name", "Y"},
			{"template.env[].value", "2"},
			{"template.nodeSelector", map[string]any{"disk": "ssd"}},
			{"template.tolerations", []any{map[string]any{"key": "dedicated", "operator": "Exists"}}},
			{"template.affinity", map[string]any{"nodeAffinity": map[string]any{}}},
			{"template.topologySpread", []any{map[string]any{"maxSkew": int64(2), "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}}},
			{"template.priorityClassName", "high"},
			{"template.runtimeClassName", "gvisor"},
			{"template.imagePullSecrets[].name", "another"},
		} {
			rows = append([]field{{path: of.worker + "." + one.key, value: one.value, touches: of.touches}}, rows...)
		}
	}
	return rows
}

func arn(role string) string { return "arn:aws:iam::123456789012:role/" + role }

// withEverything is a suspended pipeline in which each field can be changed alone: no pod has to follow.
func withEverything(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	set(t, o, question("SELECT 1"), "spec", "reports")
	set(t, o, true, "spec", "suspend")
	set(t, o, []any{map[string]any{"kind": "calm", "symbol": "AAPL", "from": "2026-11-20T14:30:00Z", "to": "2026-11-20T15:30:00Z"}}, "spec", "source", "simulated", "scenarios")
	set(t, o, map[string]any{"maxReplicas": int64(3), "outsideSession": map[string]any{}}, "spec", "consumer", "autoscaling")
	set(t, o, map[string]any{"target": "S3", "tablePrefix": "crawled_", "schedule": map[string]any{"cron": "0 0 1 1 *"}}, "spec", "catalog", "crawler")
	for _, of := range []string{"producer", "consumer"} {
		set(t, o, map[string]any{
			"env":              []any{map[string]any{"name": "X", "value": "1"}},
			"imagePullSecrets": []any{map[string]any{"name": "registry"}},
		}, "spec", of, "template")
	}
}

// replay is a source, of which each field can be changed alone.
func replay() map[string]any {
	return map[string]any{"uri": "s3://stockpipe-replays/day.csv", "columns": map[string]any{"symbol": "s", "time": "t", "close": "c"}}
}

// ofReplay is a row for each field of a replay: who makes ticks reads it, and who knows what is still to come.
func ofReplay() []field {
	const of = "source.replay."
	uris := replay()
	delete(uris, "uri")
	uris["uris"] = []any{"s3://stockpipe-replays/a.csv", "s3://stockpipe-replays/b.csv"}
	rows := []field{
		{path: of + "uri", value: "s3://stockpipe-replays/another.csv"},
		{path: of + "uris", at: "source.replay", value: uris},
		{path: of + "badRows", value: "Quarantine"},
		{path: of + "decimal", value: "Comma"},
		{path: of + "delimiter", value: "Tab"},
		{path: of + "duplicateRows", value: "Drop"},
		{path: of + "header", value: false},
		{path: of + "maxGap", value: "60s"},
		{path: of + "missing", value: []any{"NA"}},
		{path: of + "repeatedHour", value: "Later"},
		{path: of + "speed", value: int64(60)},
		{path: of + "thousands", value: "Comma"},
		{path: of + "time", value: "Rebase"},
		{path: of + "timeZone", value: "Asia/Tokyo"},
		{path: of + "unsortedRows", value: "Sort"},
		{path: of + "columns.timeFormat", value: "%m/%d/%Y"},
		{path: of + "columns.timeFormats", value: []any{"%m/%d/%Y", "epoch-ms"}},
	}
	for _, column := range []string{
		"symbol", "time", "date", "open", "high", "low", "close", "adjClose", "volume", "price", "size", "bidPrice", "bidSize", "askPrice",
		"askSize", "currency", "venue", "tradeId", "side", "conditions", "sourceSeq",
	} {
		rows = append(rows, field{path: of + "columns." + column, value: "another"})
	}
	for i := range rows {
		rows[i].touches = ofMarket
	}
	return rows
}

// feed is a live source that nobody answers.
func feed() map[string]any {
	return map[string]any{
		"url": "wss://feed.example.com/v1?key={{secret:key}}", "credentialsSecretRef": map[string]any{"name": "feed"}, "channels": []any{"Trades"},
		"staleAfter": "20s", "reconnectAfter": "10h",
		"feed": map[string]any{
			"login": "{{secret:key}}", "subscribe": []any{map[string]any{"text": "{{symbols}}", "channel": "Trades"}},
			"ping": map[string]any{"text": "ping", "every": "20s"}, "timeFormat": "Milliseconds", "gaps": "Exact",
			"messages": messages("/p"),
		},
	}
}

func messages(price string) []any {
	of := func(kind string) []any { return []any{map[string]any{"path": "/type", "equals": []any{kind}}} }
	return []any{
		map[string]any{"when": of("trade"), "is": "Trade", "symbol": "/s", "time": "/t", "price": price, "size": "/v", "sourceSeq": "/n"},
		map[string]any{"when": of("login"), "is": "LoggedIn"},
	}
}

func ofLive() []field {
	const of = "source.live."
	preset := map[string]any{"preset": "coinbase"}
	rows := []field{
		{path: of + "preset", at: "source.live", value: preset},
		{path: of + "url", value: "wss://feed.example.com/v2"},
		{path: of + "credentialsSecretRef.name", value: "another"},
		{path: of + "channels", value: []any{"Trades", "Quotes"}},
		{path: of + "staleAfter", value: "30s"},
		{path: of + "reconnectAfter", value: "9h"},
		{path: of + "feed.gaps", value: "None"},
		{path: of + "feed.heartbeats", value: true},
		{path: of + "feed.login", value: "{{secret:other}}"},
		{path: of + "feed.lowerCase", value: true},
		{path: of + "feed.symbolsPerText", value: int64(5)},
		{path: of + "feed.tapeConditions", value: true},
		{path: of + "feed.timeFormat", value: "Seconds"},
		{path: of + "feed.ping.every", value: "30s"},
		{path: of + "feed.ping.text", value: "are you there"},
		{path: of + "feed.subscribe[].channel", value: "Quotes"},
		{path: of + "feed.subscribe[].text", value: "all of {{symbols}}"},
		{path: of + "feed.messages", value: messages("/price")},
	}
	for i := range rows {
		rows[i].touches = ofMarket
	}
	return rows
}

func renamed() map[string]any {
	r := question("SELECT 1")[0].(map[string]any)
	r["name"] = "renamed"
	return r
}

func builtin() map[string]any {
	r := question("SELECT 1")[0].(map[string]any)
	delete(r, "sql")
	r["builtin"] = "daily-ohlcv"
	return r
}

// leaves are the fields that a definition has below a node, as a.b[].c.
func leaves(node map[string]any, path string) []string {
	properties := func(node map[string]any) map[string]any { p, _ := node["properties"].(map[string]any); return p }
	below := properties(node)
	if items, ok := node["items"].(map[string]any); ok && below == nil {
		path, below = path+"[]", properties(items)
	}
	if len(below) == 0 {
		return []string{strings.TrimSuffix(path, "[]")}
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(below)) {
		all = append(all, leaves(below[key].(map[string]any), strings.TrimPrefix(path+"."+key, "."))...)
	}
	return all
}

// specFields are all fields of a pipeline's spec.
func specFields(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "crds", "yaml", "stockpipelines.stockpipe.dev.yaml"))
	o := &unstructured.Unstructured{}
	if err == nil {
		err = yaml.Unmarshal(text, &o.Object)
	}
	if err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	spec, found, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec")
	if err != nil || !found {
		t.Fatalf("the definition has no spec: %v", err)
	}
	return leaves(spec, "")
}

// put sets a field, of a list's first item where the path says [].
func put(t *testing.T, o *unstructured.Unstructured, path string, value any) {
	t.Helper()
	list, field, inList := strings.Cut("spec."+path, "[].")
	if !inList {
		set(t, o, value, strings.Split(list, ".")...)
		return
	}
	items, _, err := unstructured.NestedSlice(o.Object, strings.Split(list, ".")...)
	if err == nil && len(items) > 0 {
		err = unstructured.SetNestedField(items[0].(map[string]any), value, strings.Split(field, ".")...)
	}
	if err != nil {
		t.Fatal(err)
	}
	set(t, o, items, strings.Split(list, ".")...)
}

// children tells each child of a pipeline by what changes with its spec.
func (b *bed) children(t *testing.T, p *unstructured.Unstructured) map[string]string {
	t.Helper()
	all := map[string]string{}
	name, namespace := p.GetName(), p.GetNamespace()
	for short, generation := range b.specs(t, namespace, name) {
		all[short] = fmt.Sprint(generation)
	}
	for _, r := range append([]schema.GroupVersionResource{jobs}, b.written()...) {
		if slices.Contains(workloads, r) || r == configMaps {
			continue // by their specs; a file by the name that its reader has for it
		}
		list, err := b.dyn.Resource(r).Namespace(namespace).List(context.Background(), labelled("stockpipe.dev/pipeline="+name))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			switch {
			case o.GetDeletionTimestamp() != nil:
			case r == jobs:
				all["provision"] += o.GetName() + " "
			case o.GetGeneration() != 0:
				all[r.Resource+"/"+strings.Trim(strings.TrimPrefix(o.GetName(), name), "-")] = fmt.Sprint(o.GetUID(), o.GetGeneration())
			default:
				all[r.Resource+"/"+strings.Trim(strings.TrimPrefix(o.GetName(), name), "-")] = o.GetResourceVersion()
			}
		}
	}
	return all
}

// update writes a pipeline's spec and waits until the operator has applied it.
func (b *bed) update(t *testing.T, p *unstructured.Unstructured, spec map[string]any) error {
	t.Helper()
	ctx := context.Background()
	c := b.dyn.Resource(pipelines).Namespace(p.GetNamespace())
	var before int64
	var made *unstructured.Unstructured
	// The operator may write the status in between.
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := c.Get(ctx, p.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		before = now.GetGeneration()
		now.Object["spec"] = runtime.DeepCopyJSON(spec)
		made, err = c.Update(ctx, now, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
		return err
	})
	if err != nil {
		return err
	}
	if made.GetGeneration() == before {
		t.Errorf("the value is the one that it has")
	}
	b.awaitOne(t, time.Minute, "it is applied", pipelines, p.GetNamespace(), p.GetName(), func(o *unstructured.Unstructured) string {
		if seen := text(o, "status", "observedGeneration"); seen != fmt.Sprint(o.GetGeneration()) {
			return "observed " + seen
		}
		return ""
	})
	return nil
}

// TestEveryFieldHasARow holds the rows to the definition; no cluster is needed for it.
func TestEveryFieldHasARow(t *testing.T) {
	rows := slices.Concat(ofSimulated(true), ofReplay(), ofLive())
	for _, s := range whileItRuns() {
		rows = append(rows, field{path: s.field, touches: s.touches})
	}
	defined := specFields(t)
	for _, leaf := range defined {
		if !slices.ContainsFunc(rows, func(row field) bool { return row.covers(leaf) }) {
			t.Errorf("spec.%s has no row: say which children its change touches, or why it is refused", leaf)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(defined, row.covers) && row.path != "reports" {
			t.Errorf("the definition has no field spec.%s", row.path)
		}
	}
}

// covers tells whether a row says what there is to say of a field.
func (row field) covers(leaf string) bool {
	if row.path == strings.TrimSuffix(leaf, "[]") {
		return true
	}
	below := strings.HasPrefix(leaf, row.path+".") || strings.HasPrefix(leaf, row.path+"[]")
	return below && (row.refused == unsupported || row.refused == ofOneKind || slices.ContainsFunc(whole, func(of string) bool { return strings.HasSuffix(row.path, of) }))
}

// everyFieldInTurn changes each field of three suspended pipelines and looks at their children.
func everyFieldInTurn(t *testing.T, b *bed) {
	var changing sync.WaitGroup
	changing.Go(func() {
		t.Run("of a simulated market", func(t *testing.T) {
			b.inTurn(t, "fields", ofSimulated(b.dir != ""), func(o *unstructured.Unstructured) { withEverything(t, o) })
		})
	})
	changing.Go(func() {
		t.Run("of a replay", func(t *testing.T) {
			b.inTurn(t, "replays", ofReplay(), func(o *unstructured.Unstructured) {
				set(t, o, question("SELECT 1"), "spec", "reports")
				set(t, o, true, "spec", "suspend")
				set(t, o, map[string]any{"replay": replay()}, "spec", "source")
			})
		})
	})
	changing.Go(func() {
		t.Run("of a live feed", func(t *testing.T) {
			b.inTurn(t, "feeds", ofLive(), func(o *unstructured.Unstructured) {
				set(t, o, question("SELECT 1"), "spec", "reports")
				set(t, o, true, "spec", "suspend")
				set(t, o, map[string]any{"live": feed()}, "spec", "source")
			})
		})
	})
	changing.Wait()
}

// inTurn makes a pipeline, and applies row after row to it.
func (b *bed) inTurn(t *testing.T, name string, rows []field, edit func(*unstructured.Unstructured)) {
	p := b.withPipeline(t, name, edit)
	b.awaitOne(t, time.Minute, "its last child is there", cronJobs, p.GetNamespace(), name+"-report-count", func(*unstructured.Unstructured) string { return "" })
	b.awaitOne(t, time.Minute, "all of it is told", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Provisioned", "True"))
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s %v", row.path, row.value), func(t *testing.T) {
			before, changedTo := b.children(t, p), p.DeepCopy()
			at := row.at
			if at == "" {
				at = row.path
			}
			put(t, changedTo, at, row.value)
			spec, _, _ := unstructured.NestedMap(changedTo.Object, "spec")
			err := b.update(t, p, spec)
			if row.refused != "" || err != nil {
				if row.refused == "" || err == nil || !strings.Contains(err.Error(), row.refused) || !strings.Contains(err.Error(), "spec."+strings.SplitN(at, "[", 2)[0]) {
					t.Errorf("answers %v\nwant %q", err, row.refused)
				}
				if err != nil {
					return
				}
			}
			got := []string{}
			after := b.children(t, p)
			for name := range maps.Keys(after) {
				if before[name] != after[name] {
					got = append(got, name)
				}
			}
			for name := range before {
				if _, there := after[name]; !there {
					got = append(got, name)
				}
			}
			if slices.Sort(got); !slices.Equal(got, row.touches) {
				t.Errorf("touches %v, want %v", got, row.touches)
			}
			if row.stays {
				p = changedTo
				return
			}
			spec, _, _ = unstructured.NestedMap(p.Object, "spec")
			if err := b.update(t, p, spec); err != nil {
				t.Fatal(err)
			}
		})
	}
}
