package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
)

// fitful is a way to the API server on which every few requests fail and no watch lasts.
type fitful struct {
	address  string
	requests atomic.Int64
	conflict atomic.Int64
	busy     atomic.Int64
	broken   atomic.Int64
	cut      atomic.Int64
}

// Of so many requests one fails, each time in another way.
const oneOf = 5

// lasts is how long a watch does.
const lasts = 5 * time.Second

// serveFitfully stands before the cluster's API server, with a certificate that the cluster's pods take.
func (b *bed) serveFitfully(t *testing.T) *fitful {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &fitful{address: b.freeAddress(t)}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(config.CAData)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(server) },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true},
		FlushInterval: -1,
		ErrorLog:      log.New(os.Stderr, "fitful: ", 0),
	}
	proxy.ErrorLog.SetOutput(nothing{})
	listener, err := tls.Listen("tcp", f.address, &tls.Config{Certificates: []tls.Certificate{b.certificate(t, f.address)}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.pass(proxy, w, r) }), ErrorLog: proxy.ErrorLog}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	return f
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

func (f *fitful) pass(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("watch") {
		f.cut.Add(1)
		ctx, cancel := context.WithTimeout(r.Context(), lasts)
		defer cancel()
		// ReverseProxy panics where a body breaks off, which is what a cut watch does.
		defer func() { _ = recover() }()
		proxy.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	n := f.requests.Add(1)
	if n%oneOf != 0 {
		proxy.ServeHTTP(w, r)
		return
	}
	writes := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch kind := n / oneOf % 3; {
	case kind == 0 && writes:
		f.conflict.Add(1)
		refuse(w, http.StatusConflict, "Conflict")
	case kind == 1:
		f.busy.Add(1)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "TooManyRequests")
	default:
		f.broken.Add(1)
		refuse(w, http.StatusInternalServerError, "InternalError")
	}
}

func refuse(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"a fault on purpose","reason":%q,"code":%d}`, reason, code)
}

// certificate is one for an address, of the cluster's authority.
func (b *bed) certificate(t *testing.T, address string) tls.Certificate {
	t.Helper()
	pki := filepath.Join(b.dir, "pki")
	authority, err := tls.LoadX509KeyPair(filepath.Join(pki, "ca.crt"), filepath.Join(pki, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "fitful"}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, of, &key.PublicKey, authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// callsBy has the operator call the API server by an address, or with none by the cluster's own, and waits for its pods.
func (b *bed) callsBy(t *testing.T, address string) {
	t.Helper()
	env := `[{"name":"KUBERNETES_SERVICE_HOST","$patch":"delete"},{"name":"KUBERNETES_SERVICE_PORT","$patch":"delete"}]`
	if address != "" {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		env = fmt.Sprintf(`[{"name":"KUBERNETES_SERVICE_HOST","value":%q},{"name":"KUBERNETES_SERVICE_PORT","value":%q}]`, host, port)
	}
	ctx := context.Background()
	deployment, err := b.kube.AppsV1().Deployments(operator).Get(ctx, operator, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	container := deployment.Spec.Template.Spec.Containers[0].Name
	patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":%q,"env":%s}]}}}}`, container, env)
	if _, err := b.kube.AppsV1().Deployments(operator).Patch(ctx, operator, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	b.awaitOne(t, 3*time.Minute, "the operator's pods are the new ones", deployments, operator, operator, func(o *unstructured.Unstructured) string {
		seen, updated, ready, all := text(o, "status", "observedGeneration"), text(o, "status", "updatedReplicas"), text(o, "status", "readyReplicas"), text(o, "status", "replicas")
		if want := text(o, "spec", "replicas"); seen != fmt.Sprint(o.GetGeneration()) || updated != want || ready != want || all != want {
			return fmt.Sprintf("%s updated, %s ready, %s in all", updated, ready, all)
		}
		return ""
	})
}

// faultsAreOutlived runs a pipeline whose operator reaches the API server by a way that fails now and then.
func faultsAreOutlived(t *testing.T, b *bed) {
	b.ours(t)
	calm := b.start(t, "calm", nil)
	names := func(p *unstructured.Unstructured) map[string]int {
		kinds := map[string]int{}
		for _, r := range b.written() {
			list, err := b.dyn.Resource(r).Namespace(p.GetNamespace()).List(context.Background(), labelled("stockpipe.dev/pipeline="+p.GetName()))
			if err != nil {
				t.Fatal(err)
			}
			kinds[r.Resource] = len(list.Items)
		}
		return kinds
	}
	want := names(calm)
	b.end(t, calm, metav1.DeletePropagationBackground)

	way := b.serveFitfully(t)
	b.callsBy(t, way.address)
	t.Cleanup(func() { b.callsBy(t, "") })
	t.Cleanup(func() {
		if t.Failed() {
			b.explain(t, operator)
		}
	})
	p := b.start(t, "stormy", deletes(t))
	for i := range 5 {
		set(t, p, fmt.Sprintf("%ds", 21+i), "spec", "lake", "roll", "maxAge")
		b.apply(t, p)
		b.awaitOne(t, 2*time.Minute, "an edit is carried out", pipelines, p.GetNamespace(), p.GetName(), func(o *unstructured.Unstructured) string {
			if seen := text(o, "status", "observedGeneration"); seen != fmt.Sprint(o.GetGeneration()) {
				return "generation " + seen
			}
			return ""
		})
	}
	b.awaitOne(t, 2*time.Minute, "Ready", pipelines, p.GetNamespace(), p.GetName(), hasCondition("Ready", "True"))
	b.sound(t, p)
	for kind, n := range names(p) {
		// A ConfigMap of before stays as long as something refers to it.
		if kind != configMaps.Resource && n != want[kind] {
			t.Errorf("%d %s, %d without faults", n, kind, want[kind])
		}
	}
	b.noJobTwice(t, p)
	holders := map[string]int{}
	running, err := b.kube.CoreV1().Pods(operator).List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=operator"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range running.Items {
		for _, c := range pod.Status.ContainerStatuses {
			holders[pod.Name] = int(c.RestartCount)
		}
		if pod.Status.Phase != corev1.PodRunning {
			t.Errorf("%s is %s", pod.Name, pod.Status.Phase)
		}
	}
	b.end(t, p, metav1.DeletePropagationBackground)
	b.noChildren(t, p)
	note("faults of the API server: %d requests of the operator, of them 409: %d, 429: %d, 500: %d; watches that were cut after %v: %d; restarts of its pods: %v",
		way.requests.Load(), way.conflict.Load(), way.busy.Load(), way.broken.Load(), lasts, way.cut.Load(), holders)
	for what, n := range map[string]int64{"409": way.conflict.Load(), "429": way.busy.Load(), "500": way.broken.Load(), "cut watches": way.cut.Load()} {
		if n < 5 {
			t.Errorf("only %d %s: the operator does not call by this way", n, what)
		}
	}
}
