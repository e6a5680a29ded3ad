package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// cloud is the local cloud of a testcluster, as this machine sees it: with its own signatures and its own requests, so
// that what stockpipe says of it is not taken for granted.
type cloud struct{ host, id, secret, cluster string }

// cloud finds it by the address of its Service.
func (b *bed) cloud(t *testing.T) *cloud {
	t.Helper()
	b.ours(t)
	ctx := context.Background()
	service, err := b.kube.CoreV1().Services(operator).Get(ctx, release+"-local-cloud", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := b.kube.CoreV1().Secrets(operator).Get(ctx, release+"-local-cloud-keys", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	system, err := b.kube.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{
		host: service.Spec.ClusterIP, id: string(keys.Data["AWS_ACCESS_KEY_ID"]), secret: string(keys.Data["AWS_SECRET_ACCESS_KEY"]),
		cluster: string(system.UID),
	}
}

// call signs a request as https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
// says, and answers its status and body.
func (c *cloud) call(t *testing.T, service, method, path string, query url.Values, target string, body []byte) (int, []byte) {
	t.Helper()
	now := time.Now().UTC()
	// It is dialled by its address and called by its name: it answers to no other.
	host := net.JoinHostPort(release+"-local-cloud."+operator+".svc", "9000")
	address := url.URL{Scheme: "http", Host: net.JoinHostPort(c.host, "9000"), Path: path, RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}
	request, err := http.NewRequest(method, address.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	headers := map[string]string{"host": host, "x-amz-content-sha256": sum(body), "x-amz-date": now.Format("20060102T150405Z")}
	if target != "" {
		headers["x-amz-target"] = target
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	var names, canonical []string
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		canonical = append(canonical, name+":"+headers[name]+"\n")
		request.Header.Set(name, headers[name])
	}
	signed := strings.Join(names, ";")
	asked := strings.Join([]string{method, address.EscapedPath(), address.RawQuery, strings.Join(canonical, ""), signed, headers["x-amz-content-sha256"]}, "\n")
	scope := now.Format("20060102") + "/us-east-1/" + service + "/aws4_request"
	key := []byte("AWS4" + c.secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sum([]byte(asked))}, "\n"))
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", c.id, scope, signed, signature))
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, said
}

// objects are the keys below a prefix of a bucket; no bucket is told.
func (c *cloud) objects(t *testing.T, bucket, prefix string) (keys []string, bucketIsThere bool) {
	t.Helper()
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for {
		code, said := c.call(t, "s3", http.MethodGet, "/"+bucket, query, "", nil)
		if code == http.StatusNotFound {
			return nil, false
		}
		var page struct {
			Contents              []struct{ Key string }
			NextContinuationToken string
		}
		if err := xml.Unmarshal(said, &page); code != http.StatusOK || err != nil {
			t.Fatalf("the list of %s: %d %v %s", bucket, code, err, said)
		}
		for _, object := range page.Contents {
			keys = append(keys, object.Key)
		}
		if page.NextContinuationToken == "" {
			return keys, true
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// object reads one.
func (c *cloud) object(t *testing.T, bucket, key string) []byte {
	t.Helper()
	code, said := c.call(t, "s3", http.MethodGet, "/"+bucket+"/"+key, nil, "", nil)
	if code != http.StatusOK {
		t.Fatalf("%s/%s: %d %s", bucket, key, code, said)
	}
	return said
}

// put writes one, as a person may.
func (c *cloud) put(t *testing.T, bucket, key, content string) {
	t.Helper()
	if code, said := c.call(t, "s3", http.MethodPut, "/"+bucket+"/"+key, nil, "", []byte(content)); code != http.StatusOK {
		t.Fatalf("%s/%s: %d %s", bucket, key, code, said)
	}
}

// names are the field Name of all that an operation of Glue or Athena lists; nothing where it lists what is not there.
func (c *cloud) names(t *testing.T, service, operation, list string, request map[string]any) (names []string) {
	t.Helper()
	for {
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		code, said := c.call(t, service, http.MethodPost, "/", nil, operation, body)
		if code == http.StatusBadRequest && bytes.Contains(said, []byte("EntityNotFoundException")) {
			return nil
		}
		page := map[string]any{}
		if err := json.Unmarshal(said, &page); code != http.StatusOK || err != nil {
			t.Fatalf("%s: %d %v %s", operation, code, err, said)
		}
		items, _ := page[list].([]any)
		for _, item := range items {
			name, _ := item.(map[string]any)["Name"].(string)
			names = append(names, name)
		}
		next, _ := page["NextToken"].(string)
		if next == "" {
			return names
		}
		request["NextToken"] = next
	}
}

// ask sends Kafka a request (https://kafka.apache.org/protocol), and answers what comes after the header.
func (c *cloud) ask(t *testing.T, key, version uint16, body []byte) *kafkaAnswer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(c.host, "9092"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := binary.BigEndian.AppendUint16(nil, key)
	request = binary.BigEndian.AppendUint16(request, version)
	request = binary.BigEndian.AppendUint32(request, 1)
	request = append(kafkaText(request, "stories"), body...)
	err = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err == nil {
		_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...))
	}
	size := make([]byte, 4)
	if err == nil {
		_, err = io.ReadFull(conn, size)
	}
	answer := make([]byte, binary.BigEndian.Uint32(size))
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil {
		t.Fatalf("Kafka's API %d: %v", key, err)
	}
	return &kafkaAnswer{answer[4:]}
}

func kafkaText(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(text))), text...)
}

// kafkaAnswer is what is still to be read of one.
type kafkaAnswer struct{ rest []byte }

func (a *kafkaAnswer) take(n int) []byte { b := a.rest[:n]; a.rest = a.rest[n:]; return b }
func (a *kafkaAnswer) int16() int        { return int(int16(binary.BigEndian.Uint16(a.take(2)))) }
func (a *kafkaAnswer) int32() int        { return int(int32(binary.BigEndian.Uint32(a.take(4)))) }
func (a *kafkaAnswer) int64() int        { return int(int64(binary.BigEndian.Uint64(a.take(8)))) }
func (a *kafkaAnswer) text() string      { return string(a.take(max(a.int16(), 0))) }

// topics are the names of all.
func (c *cloud) topics(t *testing.T) (names []string) {
	t.Helper()
	const metadata = 3
	answer := c.ask(t, metadata, 0, []byte{0, 0, 0, 0})
	for range answer.int32() { // brokers
		answer.int32()
		answer.text()
		answer.int32()
	}
	for range answer.int32() {
		answer.int16()
		names = append(names, answer.text())
		for range answer.int32() { // partitions
			answer.take(2 + 4 + 4)
			answer.take(4 * answer.int32()) // replicas
			answer.take(4 * answer.int32()) // those in sync
		}
	}
	return names
}

// committed are the partitions of a topic at which a consumer group has committed an offset, as the only trace that a
// group without members leaves.
func (c *cloud) committed(t *testing.T, group, topic string, partitions int) (found []string) {
	t.Helper()
	const offsetFetch = 9
	body := binary.BigEndian.AppendUint32(kafkaText(nil, group), 1)
	body = binary.BigEndian.AppendUint32(kafkaText(body, topic), uint32(partitions))
	for partition := range partitions {
		body = binary.BigEndian.AppendUint32(body, uint32(partition))
	}
	answer := c.ask(t, offsetFetch, 1, body)
	for range answer.int32() {
		answer.text()
		for range answer.int32() {
			partition, offset := answer.int32(), answer.int64()
			answer.text()
			answer.int16()
			if offset >= 0 {
				found = append(found, fmt.Sprintf("partition %d: %d", partition, offset))
			}
		}
	}
	return found
}

// holdings are what the local cloud has of one pipeline.
type holdings struct {
	Topics, Offsets, Objects, Databases, Tables, Crawlers, WorkGroups []string
	Bucket                                                            bool
}

// holdings looks for all that provision and the workers make; the pipeline has its bucket and its database for itself.
func (c *cloud) holdings(t *testing.T, p *unstructured.Unstructured) (h holdings) {
	t.Helper()
	pipeline, bucket, database := p.GetName(), text(p, "spec", "lake", "bucket"), text(p, "spec", "catalog", "database")
	identity := c.cluster + "/" + p.GetNamespace() + "/" + pipeline
	of := func(all []string, is func(string) bool) []string {
		return slices.DeleteFunc(all, func(name string) bool { return !is(name) })
	}
	mine := func(name string) bool { return strings.HasPrefix(name, "stockpipe-"+pipeline+"-") }
	h.Topics = of(c.topics(t), func(name string) bool { return name == pipeline+".ticks" })
	h.Offsets = c.committed(t, "stockpipe/"+identity, pipeline+".ticks", 3)
	h.Objects, h.Bucket = c.objects(t, bucket, "")
	h.Databases = of(c.names(t, "glue", "AWSGlue.GetDatabases", "DatabaseList", map[string]any{}), func(name string) bool { return name == database })
	h.Tables = c.names(t, "glue", "AWSGlue.GetTables", "TableList", map[string]any{"DatabaseName": database})
	h.Crawlers = of(c.names(t, "glue", "AWSGlue.GetCrawlers", "Crawlers", map[string]any{}), mine)
	h.WorkGroups = of(c.names(t, "athena", "AmazonAthena.ListWorkGroups", "WorkGroups", map[string]any{}), mine)
	return h
}

// lacks names the kinds of which there is none.
func (h holdings) lacks() (kinds []string) {
	for kind, all := range map[string][]string{
		"topic": h.Topics, "offset of its group": h.Offsets, "object": h.Objects, "database": h.Databases, "table": h.Tables,
		"crawler": h.Crawlers, "workgroup": h.WorkGroups,
	} {
		if len(all) == 0 {
			kinds = append(kinds, kind)
		}
	}
	if !h.Bucket {
		kinds = append(kinds, "bucket")
	}
	slices.Sort(kinds)
	return kinds
}

// record is one attempt of a run, as S3 has it.
type record struct {
	RunKey  string
	Attempt int
	State   string
}

// records are those of a pipeline's report, by run key.
func (c *cloud) records(t *testing.T, p, report string) map[string][]record {
	t.Helper()
	bucket := "stockpipe-" + p
	keys, _ := c.objects(t, bucket, "_stockpipe/")
	all := map[string][]record{}
	for _, key := range keys {
		if _, run, found := strings.Cut(key, "/runs/report/"+report+"@"); !found || !strings.HasSuffix(run, ".json") {
			continue
		}
		var one record
		if err := json.Unmarshal(c.object(t, bucket, key), &one); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if !strings.HasSuffix(key, fmt.Sprintf("/runs/%s/%d.json", one.RunKey, one.Attempt)) {
			t.Errorf("%s is the record of %s, attempt %d", key, one.RunKey, one.Attempt)
		}
		all[one.RunKey] = append(all[one.RunKey], one)
	}
	return all
}
