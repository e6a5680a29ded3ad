package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// api is the supervisor's own client of the cluster.
type api struct {
	spec *Spec
	kube kubernetes.Interface
	dyn  dynamic.Interface
}

func newAPI(s *Spec) (*api, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.base(), "kubeconfig"))
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst, cfg.Timeout = 100, 100, 10*time.Second
	cfg.WarningHandler = rest.NoWarnings{}
	k, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	d, err := dynamic.NewForConfig(cfg)
	return &api{s, k, d}, err
}

func (a *api) ready(ctx context.Context) error {
	return a.kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func (a *api) defaultServiceAccount(ctx context.Context) error {
	_, err := a.kube.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

func (a *api) nodeReady(ctx context.Context) error {
	n, err := a.kube.CoreV1().Nodes().Get(ctx, a.spec.NodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return errors.New("still tainted not-ready")
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.LastHeartbeatTime.Time.Before(a.spec.Started.Truncate(time.Second)) {
				return errors.New("kubelet has not reported yet") // a kept cluster's old condition
			}
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("not Ready: %s", c.Message)
		}
	}
	return errors.New("no Ready condition")
}

// dnsReady asks for a name as a pod would: it proves CoreDNS, its pod's network
// and kube-proxy at once. (An Available condition may be a kept cluster's old one.)
func (a *api) dnsReady(ctx context.Context) error {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a.spec.DNSIP, "53"))
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ips, err := r.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err == nil && (len(ips) != 1 || ips[0] != a.spec.APIServiceIP) {
		err = fmt.Errorf("kubernetes.default resolves to %v", ips)
	}
	return err
}

// resources maps the kinds of templates/manifests.yaml to their resources.
var resources = map[string]string{
	"StorageClass": "storageclasses", "ServiceAccount": "serviceaccounts", "ClusterRole": "clusterroles",
	"ClusterRoleBinding": "clusterrolebindings", "ConfigMap": "configmaps", "Service": "services", "Deployment": "deployments",
}

// applyManifests applies DIR/etc/manifests.yaml, server-side.
func (a *api) applyManifests(ctx context.Context) error {
	b, err := os.ReadFile(filepath.Join(a.spec.base(), "etc", "manifests.yaml"))
	if err != nil {
		return err
	}
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := dec.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(u.Object) == 0 {
			continue
		}
		gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
		if err != nil {
			return err
		}
		r, ok := resources[u.GetKind()]
		if !ok {
			return fmt.Errorf("manifest of unknown kind %s", u.GetKind())
		}
		var c dynamic.ResourceInterface = a.dyn.Resource(gv.WithResource(r))
		if ns := u.GetNamespace(); ns != "" {
			c = a.dyn.Resource(gv.WithResource(r)).Namespace(ns)
		}
		if _, err := c.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: "testcluster", Force: true}); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
}

// siginfoPid reads si_pid, which package unix leaves inside an opaque union: the
// first field after three ints, aligned to a pointer.
func siginfoPid(i *unix.Siginfo) int {
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(i), 16)))
}
