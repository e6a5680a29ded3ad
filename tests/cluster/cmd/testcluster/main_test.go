package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestMain lets the test program be testcluster, and so each of its components:
// the supervisor starts them by running its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	os.Exit(m.Run())
}

func testcluster(args ...string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	b, err := exec.Command(exe, args...).CombinedOutput()
	return strings.TrimSpace(string(b)), err
}

// must runs testcluster, which succeeds.
func must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := testcluster(args...); err != nil {
		t.Fatalf("testcluster %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// refused runs testcluster, which fails and says so.
func refused(t *testing.T, sentence string, args ...string) {
	t.Helper()
	out, err := testcluster(args...)
	if err == nil || !strings.Contains(out, sentence) {
		t.Errorf("testcluster %s: %v: %q, want %q", strings.Join(args, " "), err, out, sentence)
	}
}

// controlPlane starts one, and returns its folder and its client.
func controlPlane(t *testing.T, args ...string) (string, *kubernetes.Clientset) {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { must(t, "down", "--dir", dir) })
	must(t, append([]string{"up", "--dir", dir, "--control-plane-only"}, args...)...)
	return dir, client(t, dir)
}

// client of a cluster. Each has connections of its own.
func client(t *testing.T, dir string) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.Timeout, config.UserAgent = 5*time.Second, "main-test"
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually asks until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func hasDefaultAccount(c *kubernetes.Clientset, namespace string) bool {
	_, err := c.CoreV1().ServiceAccounts(namespace).Get(context.Background(), "default", metav1.GetOptions{})
	return err == nil
}

func makeNamespace(t *testing.T, c *kubernetes.Clientset, name string) {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.CoreV1().Namespaces().Create(context.Background(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestComponentsAreStoppedStartedAndFrozen(t *testing.T) {
	dir, c := controlPlane(t)
	ctx := context.Background()

	t.Run("a stopped API server is not there, and a started one answers", func(t *testing.T) {
		must(t, "stop", "--dir", dir, "kube-apiserver")
		_, err := c.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			t.Errorf("stopped: %v, want a refused connection", err)
		}
		refused(t, "kube-apiserver is not running", "freeze", "--dir", dir, "kube-apiserver")
		must(t, "start", "--dir", dir, "kube-apiserver")
		if _, err := c.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			t.Errorf("started: %v", err)
		}
	})

	t.Run("a frozen API server takes connections and answers none until it is started", func(t *testing.T) {
		must(t, "freeze", "--dir", dir, "kube-apiserver")
		_, err := client(t, dir).CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		var failed *url.Error
		if !errors.As(err, &failed) || !failed.Timeout() {
			t.Errorf("frozen: %v, want no answer in time", err)
		}
		must(t, "start", "--dir", dir, "kube-apiserver")
		if _, err := client(t, dir).CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			t.Errorf("thawed: %v", err)
		}
	})

	t.Run("controllers do nothing while they are stopped, and catch up", func(t *testing.T) {
		for _, verb := range []string{"stop", "freeze"} {
			must(t, verb, "--dir", dir, "kube-controller-manager")
			makeNamespace(t, c, verb)
			if hasDefaultAccount(c, verb) {
				t.Errorf("after %s: somebody made the default service account", verb)
			}
			must(t, "start", "--dir", dir, "kube-controller-manager")
			eventually(t, "after "+verb+" and start: a default service account", func() bool { return hasDefaultAccount(c, verb) })
		}
	})

	t.Run("objects outlive etcd's stop", func(t *testing.T) {
		makeNamespace(t, c, "kept")
		must(t, "stop", "--dir", dir, "etcd")
		must(t, "start", "--dir", dir, "etcd")
		eventually(t, "the namespace made before", func() bool {
			_, err := c.CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{})
			return err == nil
		})
	})

	t.Run("what cannot be done is said", func(t *testing.T) {
		refused(t, `no component "kubelet" runs here; write one of etcd, kube-apiserver, kube-controller-manager`, "stop", "--dir", dir, "kubelet")
		refused(t, "write testcluster stop --dir DIR COMPONENT", "stop", "--dir", dir)
		refused(t, "no such file or directory", "stop", "--dir", filepath.Join(dir, "nothing"), "etcd")
		refused(t, "use it with --control-plane-only", "up", "--dir", filepath.Join(dir, "node"), "--controllers", "*,-job-controller")
	})
}

func TestAControlPlaneCanLeaveOutControllers(t *testing.T) {
	_, c := controlPlane(t, "--controllers", "*,-deployment-controller")
	ctx := context.Background()
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	_, err := c.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	once := pod
	once.Labels = map[string]string{"job": "a"}
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: batchv1.JobSpec{Template: once}}
	if _, err := c.BatchV1().Jobs("default").Create(ctx, job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod of a Job made after the Deployment", func() bool {
		pods, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "job=a"})
		return err == nil && len(pods.Items) == 1
	})
	sets, err := c.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
	if err != nil || len(sets.Items) != 0 {
		t.Errorf("%d ReplicaSets (%v): the deployment controller runs", len(sets.Items), err)
	}
}

func TestTheAuditLogNamesWhoAskedWhatAndShowsNoBodies(t *testing.T) {
	dir, c := controlPlane(t, "--audit")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"k": "hush-hush"}}
	if _, err := c.CoreV1().Secrets("default").Create(context.Background(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	log, err := os.Open(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	found := 0
	lines := bufio.NewScanner(log)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		if strings.Contains(lines.Text(), "hush-hush") {
			t.Errorf("a body is in the log: %s", lines.Text())
		}
		var e struct {
			Level, Stage, Verb, UserAgent string
			User                          struct{ Username string }
			ObjectRef                     struct{ Resource, Namespace, Name string }
			ResponseStatus                struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if e.Stage == "RequestReceived" || e.Level != "Metadata" {
			t.Errorf("stage %s, level %s", e.Stage, e.Level)
		}
		if e.UserAgent == "main-test" && e.Verb == "create" && e.User.Username == "kubernetes-admin" &&
			e.ObjectRef.Resource == "secrets" && e.ObjectRef.Namespace == "default" && e.ObjectRef.Name == "s" && e.ResponseStatus.Code == 201 {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the creation of the Secret is in the log %d times", found)
	}
}
