package e2e

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// bed is a cluster that stories run on.
type bed struct {
	kubeconfig string
	kube       *kubernetes.Clientset
	dyn        *dynamic.DynamicClient
	dir        string // of the testcluster; empty where the cluster is someone's

	installing sync.Mutex
	installed  bool
}

// group is where StockPipelines are served.
const group = "stockpipe.dev"

// Resources that the stories look at.
var (
	pipelines         = schema.GroupVersionResource{Group: group, Version: "v1alpha1", Resource: "stockpipelines"}
	pods              = corev1.SchemeGroupVersion.WithResource("pods")
	configMaps        = corev1.SchemeGroupVersion.WithResource("configmaps")
	services          = corev1.SchemeGroupVersion.WithResource("services")
	deployments       = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets      = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	jobs              = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobs          = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	leases            = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	nodes             = corev1.SchemeGroupVersion.WithResource("nodes")
	namespaces        = corev1.SchemeGroupVersion.WithResource("namespaces")
	serviceAccounts   = corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	networkPolicies   = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}
	disruptionBudgets = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
	podMonitors       = schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "podmonitors"}
	prometheusRules   = schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "prometheusrules"}
	definitions       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// started are the testclusters to take down at the end.
var started struct {
	sync.Mutex
	dirs []string
}

// takeDown ends them. Their logs stay where something failed.
func takeDown(failed bool) error {
	var errs []error
	for _, dir := range started.dirs {
		_, err := run(testcluster(), "down", "--dir", dir)
		if err == nil && !failed {
			err = os.RemoveAll(dir)
		}
		if failed {
			fmt.Println("logs of the components and the pods, and audit.log: " + dir)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func cache() string {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		base = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(base, "stockpipe")
}

// Programs that scripts/setup cluster builds.
func testcluster() string { return filepath.Join(cache(), "testcluster", "current", "testcluster") }
func helmProgram() string { return filepath.Join(cache(), "cluster-tools", "current", "helm") }

// root of the repository.
func root() string {
	dir, err := filepath.Abs("../../..")
	if err != nil {
		panic(err) // no working directory
	}
	return dir
}

// run runs a program; the error has what it said.
func run(program string, args ...string) (string, error) { return runIn(nil, "", program, args...) }

// runIn runs a program with more environment variables and an input.
func runIn(env []string, input, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(input)
	b, err := cmd.CombinedOutput()
	out := strings.TrimSpace(string(b))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return out, err
}

// up starts a testcluster of the stories' own.
func up(args ...string) (*bed, error) {
	dir, err := os.MkdirTemp("", "stockpipe-e2e-")
	if err != nil {
		return nil, err
	}
	started.Lock()
	started.dirs = append(started.dirs, dir)
	started.Unlock()
	began := time.Now()
	if _, err := run(testcluster(), append([]string{"up", "--dir", dir}, args...)...); err != nil {
		return nil, err
	}
	b, err := connect(filepath.Join(dir, "kubeconfig"))
	if err == nil {
		b.dir = dir
		took("a testcluster is up", time.Since(began))
	}
	return b, err
}

func connect(kubeconfig string) (*bed, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.WarningHandler = 100, 200, rest.NoWarnings{}
	b := &bed{kubeconfig: kubeconfig}
	if b.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	b.dyn, err = dynamic.NewForConfig(config)
	return b, err
}

// given tells whether the stories run on someone's cluster. Both are asked for, so that a KUBECONFIG that happens to be
// set gets no pipelines.
func given() bool { return os.Getenv("KUBECONFIG") != "" && os.Getenv("STOCKPIPE_IMAGE") != "" }

// place is a cluster that comes up when the first story asks for it.
type place struct {
	once sync.Once
	bed  *bed
	err  error
}

func (p *place) cluster(t *testing.T) *bed {
	t.Helper()
	p.once.Do(func() {
		archive := os.Getenv("STOCKPIPE_IMAGE_ARCHIVE")
		switch {
		case given():
			p.bed, p.err = connect(os.Getenv("KUBECONFIG"))
		case archive == "":
			p.err = errors.New("set STOCKPIPE_IMAGE_ARCHIVE to the archive that scripts/image made, or KUBECONFIG and STOCKPIPE_IMAGE")
		default:
			imageSize.Do(func() { noteImage(archive) })
			p.bed, p.err = up("--audit", "--image", archive)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.bed
}

var imageSize sync.Once

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// noteImage notes how large the image is: as a node holds it, and packed, as a registry sends it.
func noteImage(archive string) {
	f, err := os.Open(archive)
	if err != nil {
		return // its cluster says it
	}
	defer f.Close()
	var plain, packed counter
	for r := tar.NewReader(f); ; {
		if _, err := r.Next(); err != nil {
			break
		}
		z := gzip.NewWriter(&packed)
		if _, err := io.Copy(io.MultiWriter(z, &plain), r); err != nil || z.Close() != nil {
			return
		}
	}
	note("image: %d MB, %d MB packed", plain/1_000_000, packed/1_000_000)
}

// ours skips what only a testcluster can.
func (b *bed) ours(t *testing.T) {
	t.Helper()
	if b.dir == "" {
		t.Skip("needs a testcluster: this one was given by KUBECONFIG")
	}
}

// control stops, starts or freezes a component of a testcluster.
func (b *bed) control(t *testing.T, verb, component string) {
	t.Helper()
	if _, err := run(testcluster(), verb, "--dir", b.dir, component); err != nil {
		t.Fatal(err)
	}
}

// takeAway stops or freezes a component until back is called, and in any case until the test ends: a story that fails
// leaves the cluster alive for the others.
func (b *bed) takeAway(t *testing.T, verb, component string) (back func()) {
	t.Helper()
	b.control(t, verb, component)
	away := true
	back = func() {
		t.Helper()
		if away {
			away = false
			b.control(t, "start", component)
		}
	}
	t.Cleanup(back)
	return back
}

// helm runs helm on the cluster.
func (b *bed) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runIn([]string{"KUBECONFIG=" + b.kubeconfig}, "", helmProgram(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kubectl runs kubectl on the cluster with an input.
func (b *bed) kubectl(input string, args ...string) (string, error) {
	return runIn([]string{"KUBECONFIG=" + b.kubeconfig}, input, testcluster(), append([]string{"kubectl"}, args...)...)
}

// namespace makes a namespace in which Pod Security's "restricted" is enforced,
// unless it is there.
func (b *bed) namespace(t *testing.T, name string) {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := b.kube.CoreV1().Namespaces().Create(context.Background(), n, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// decode reads an object into its type.
func decode(t *testing.T, from any, to any) {
	t.Helper()
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
