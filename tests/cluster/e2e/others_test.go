package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// prepared is what scripts/setup real makes of one of its pinned lists.
func prepared(t *testing.T, kind, list string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), list))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	dir := filepath.Join(cache(), kind, hex.EncodeToString(sum[:])[:12])
	if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
		t.Fatalf("%s is missing: run scripts/setup real", dir)
	}
	return dir
}

// server starts a program on this machine that ends with the test, and waits until it listens.
func server(t *testing.T, address string, env []string, dir, program string, args ...string) {
	t.Helper()
	said := &bytes.Buffer{}
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), dir, said, said
	// A group of its own, which ends as one: ministack has children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), said)
		}
	})
	began := time.Now()
	for time.Since(began) < 2*time.Minute {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = conn.Close()
			t.Logf("%s listens on %s after %v", filepath.Base(program), address, time.Since(began).Round(10*time.Millisecond))
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v", program, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen on %s", program, address)
}

// freeAddress of this machine's end of the link to the node.
func (b *bed) freeAddress(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "cluster.json"))
	spec := struct{ HostIP string }{}
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Below the ports that this machine's kernel hands out by itself, and each given once: between the look and the
	// server's start nobody else takes it.
	const first, count = 20_000, 12_000
	for range count {
		place := uint32(os.Getpid())*257 + givenPorts.Add(1)
		address := net.JoinHostPort(spec.HostIP, fmt.Sprint(first+place%count))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatalf("no port of %s is free", spec.HostIP)
	return ""
}

// givenPorts counts those that were given away.
var givenPorts atomic.Uint32

// apacheKafka starts a broker (KRaft, one node) on this machine, as make test-real does.
func (b *bed) apacheKafka(t *testing.T) string {
	t.Helper()
	libraries := filepath.Join(prepared(t, "kafka", "tests/kafka/pom.xml"), "libs", "*")
	dir, client, controller := t.TempDir(), b.freeAddress(t), b.freeAddress(t)
	properties := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
controller.listener.names=CONTROLLER
listeners=CLIENT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=CLIENT://%[1]s
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
`, client, controller, filepath.Join(dir, "data"))
	if err := os.WriteFile(properties, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	java := []string{
		"-Dlog4j2.configurationFile=" + filepath.Join(root(), "tests", "kafka", "log4j2.yaml"),
		"-Dkafka.logfile=" + filepath.Join(dir, "server.log"), "-cp", libraries,
	}
	if _, err := run("java", append(append([]string{"-Xmx128m"}, java...), "kafka.tools.StorageTool", "format", "-t", "stockpipeTestCluster0A", "-c", properties)...); err != nil {
		t.Fatal(err)
	}
	server(t, client, nil, dir, "java", append(append([]string{"-Xmx512m"}, java...), "kafka.Kafka", properties)...)
	return client
}

// otherCloud starts an S3 and a Glue that others wrote (ministack).
func (b *bed) otherCloud(t *testing.T) string {
	t.Helper()
	venv, address := prepared(t, "venv", "tests/python/requirements.txt"), b.freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"BIND_HOST=" + host, "MINISTACK_HOST=" + host, "GATEWAY_PORT=" + port, "IOT_MTLS_ENABLED=0"}
	server(t, address, env, t.TempDir(), filepath.Join(venv, "bin", "ministack"))
	return "http://" + address
}

// partsOfOthersServe runs a pipeline of which only the workers are ours.
func partsOfOthersServe(t *testing.T, b *bed) {
	b.ours(t)
	ctx := context.Background()
	kafka, cloud := b.apacheKafka(t), b.otherCloud(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "keys-of-others"},
		StringData: map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
	}
	if _, err := b.kube.CoreV1().Secrets(operator).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.kube.CoreV1().Secrets(operator).Delete(ctx, secret.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	p := b.withPipeline(t, "others", func(o *unstructured.Unstructured) {
		// ministack's Athena asks an engine that is not there.
		unstructured.RemoveNestedField(o.Object, "spec", "reports")
		set(t, o, kafka, "spec", "kafka", "bootstrapServers")
		set(t, o, "consumer", "spec", "kafka", "groupProtocol")
		set(t, o, "2s", "spec", "lake", "roll", "maxAge")
		// At least a day of ticks.
		start := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
		set(t, o, map[string]any{"seed": int64(11), "ticksPerSecond": int64(2), "start": start}, "spec", "source", "simulated")
		set(t, o, true, "spec", "suspend")
		set(t, o, map[string]any{
			"credentialsSecretRef": map[string]any{"name": secret.Name},
			"endpoints":            map[string]any{"s3": cloud, "glue": cloud, "athena": cloud},
			"s3PathStyle":          true,
		}, "spec", "aws")
	})
	set(t, p, false, "spec", "suspend")
	b.killAt(t, p, betweenPublishes)
	b.killNoMore(t, p)
	// A quiet day has a third of the mean's ticks: the mean is that of many days.
	const day = 24 * 3600 * 2 / 4
	// Whoever landed the first part of it is gone, and its count with it: verify counts them all.
	b.awaitLag(t, 4*time.Minute, "the history has landed", p, func(lag int64) bool {
		_, rows := b.lag(p)
		return lag < 100 && rows > 0
	})
	if lake := b.sound(t, p); lake.Sequences.Rows < day {
		t.Errorf("%d rows, want %d at least", lake.Sequences.Rows, day)
	}

	t.Run("and an audit that shares no code with us agrees", func(t *testing.T) {
		set(t, p, map[string]any{"example.com/no-node": "has-this"}, "spec", "producer", "template", "nodeSelector")
		b.apply(t, p)
		b.awaitOne(t, 2*time.Minute, "the producer is away", pods, operator, "others-produce-0", func(o *unstructured.Unstructured) string {
			if phase := text(o, "status", "phase"); phase != "Pending" || o.GetDeletionTimestamp() != nil {
				return phase
			}
			return ""
		})
		b.awaitLag(t, 2*time.Minute, "everything has landed", p, func(lag int64) bool { return lag == 0 })
		python := filepath.Join(prepared(t, "venv", "tests/python/requirements.txt"), "bin", "python")
		said, err := runIn([]string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true", "PYTHONDONTWRITEBYTECODE=1"}, "",
			python, filepath.Join(root(), "tests", "python", "audit.py"), "--bootstrap", kafka, "--endpoint", cloud,
			"--topic", "others.ticks", "--bucket", "stockpipe-others", "--prefix", "others/ticks", "--expect", fmt.Sprint(day))
		if err != nil {
			t.Fatal(err)
		}
		note("Apache Kafka and the S3 of others: %s", strings.TrimSpace(said))
	})
}
