package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// processOf is the process on this machine that runs a program in a pod of a testcluster.
func processOf(t *testing.T, pod *corev1.Pod, program string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		groups, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(groups), string(pod.UID)) {
			continue
		}
		dir := filepath.Dir(file)
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil && filepath.Base(exe) == program {
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
				return pid
			}
		}
	}
	t.Fatalf("no process on this machine runs %s for pod %s", program, pod.Name)
	return 0
}

// fromWithin answers a request that is made in the network of a process.
func fromWithin(pid int, address, path string) (int, string, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	made := make(chan result)
	go func() {
		// Never unlocked: the thread belongs to the pod's network now, and ends with this goroutine.
		runtime.LockOSThread()
		network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			defer network.Close()
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			made <- result{nil, err}
			return
		}
		conn, err := net.DialTimeout("tcp4", address, 10*time.Second)
		made <- result{conn, err}
	}()
	r := <-made
	if r.err != nil {
		return 0, "", r.err
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		// A worker has no certificate of the cluster's authority to check this with either.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return r.conn, nil },
	}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + address + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func workersAreNobody(t *testing.T, b *bed) {
	b.ours(t)
	ctx := context.Background()
	p := b.withPipeline(t, "nobody", nil)
	server, err := b.kube.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.kube.CoreV1().Pods(p.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: "stockpipe.dev/pipeline=nobody,app.kubernetes.io/component in (produce,land,analyze)"})
	if err != nil || len(list.Items) != 3 {
		t.Fatalf("%d workers: %v", len(list.Items), err)
	}
	for _, pod := range list.Items {
		t.Run(pod.Labels["app.kubernetes.io/component"], func(t *testing.T) {
			pid := processOf(t, &pod, "stockpipe-worker")
			for _, token := range []string{"/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io", "/var/run/secrets/eks.amazonaws.com"} {
				if _, err := os.Lstat(fmt.Sprintf("/proc/%d/root%s", pid, token)); !os.IsNotExist(err) {
					t.Errorf("%s is there, or cannot be looked for: %v", token, err)
				}
			}
			for _, path := range []string{
				"/api/v1/namespaces/" + operator + "/secrets",
				"/apis/" + group + "/v1alpha1/namespaces/" + operator + "/stockpipelines/nobody",
			} {
				code, said, err := fromWithin(pid, net.JoinHostPort(server.Spec.ClusterIP, "443"), path)
				if err != nil {
					t.Fatal(err)
				}
				if code != 401 && (code != 403 || !strings.Contains(said, "system:anonymous")) {
					t.Errorf("GET %s: %d %.300s", path, code, said)
				}
			}
		})
	}
	// The audit log tells who asked from where.
	refused := map[string]int{}
	for _, e := range b.audit(t, "system:anonymous") {
		if e.ResponseStatus.Code == 403 && len(e.SourceIPs) > 0 && e.ObjectRef != nil && e.ObjectRef.Namespace == operator {
			refused[e.SourceIPs[0]]++
		}
	}
	for _, pod := range list.Items {
		if refused[pod.Status.PodIP] != 2 {
			t.Errorf("the audit log has not both requests of %s (%s): %v", pod.Name, pod.Status.PodIP, refused)
		}
	}
}
