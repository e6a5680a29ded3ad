package cluster

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"text/template"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"stockpipe.dev/tests/cluster/internal/pki"
)

//go:embed templates
var templates embed.FS

// clients are the kubeconfigs besides the administrator's; kubelet's CN depends on
// the node's name.
func (s *Spec) clients() map[string]pki.Leaf {
	return map[string]pki.Leaf{
		"admin":                   {CN: "kubernetes-admin", Org: []string{"system:masters"}},
		"kube-controller-manager": {CN: "system:kube-controller-manager"},
		"kube-scheduler":          {CN: "system:kube-scheduler"},
		"kube-proxy":              {CN: "system:kube-proxy"},
		"kubelet":                 {CN: "system:node:" + s.NodeName, Org: []string{"system:nodes"}},
	}
}

// writeCredentials makes the cluster's certificates, unless a kept cluster has
// them, and writes the kubeconfigs.
func (s *Spec) writeCredentials() error {
	dir := filepath.Join(s.Dir, "pki")
	if _, err := os.Stat(filepath.Join(dir, "sa.pub")); errors.Is(err, os.ErrNotExist) {
		if err := s.makeCredentials(dir); err != nil {
			return err
		}
	}
	read := func(name string) []byte { b, _ := os.ReadFile(filepath.Join(dir, name)); return b }
	for name := range s.clients() {
		c := clientcmdapi.NewConfig()
		c.Clusters["testcluster"] = &clientcmdapi.Cluster{Server: s.apiServer(), CertificateAuthorityData: read("ca.crt")}
		c.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: read(name + ".crt"), ClientKeyData: read(name + ".key")}
		c.Contexts["testcluster"] = &clientcmdapi.Context{Cluster: "testcluster", AuthInfo: name}
		c.CurrentContext = "testcluster"
		to := filepath.Join(s.Dir, "etc", name+".kubeconfig")
		if name == "admin" {
			to = s.Kubeconfig()
		}
		b, err := clientcmd.Write(*c)
		if err != nil {
			return err
		}
		if err := writeFile(to, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spec) makeCredentials(dir string) error {
	ca, err := pki.NewCA(dir, "ca", "testcluster-ca")
	if err != nil {
		return err
	}
	front, err := pki.NewCA(dir, "front-proxy-ca", "testcluster-front-proxy-ca")
	if err != nil {
		return err
	}
	ips := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(s.NodeIP), net.ParseIP(s.APIServiceIP)}
	leaves := []pki.Leaf{
		{Name: "apiserver", CN: "kube-apiserver", Server: true, IPs: ips, DNS: []string{
			"localhost", s.NodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}},
		{Name: "apiserver-kubelet-client", CN: "kube-apiserver-kubelet-client", Org: []string{"system:masters"}, Client: true},
		{Name: "kubelet-server", CN: "system:node:" + s.NodeName, Org: []string{"system:nodes"}, Server: true, DNS: []string{s.NodeName}, IPs: ips[:2]},
	}
	for name, l := range s.clients() {
		l.Name, l.Client = name, true
		leaves = append(leaves, l)
	}
	for _, l := range leaves {
		if _, _, err := ca.Issue(dir, l); err != nil {
			return fmt.Errorf("certificate %s: %w", l.Name, err)
		}
	}
	if _, _, err := front.Issue(dir, pki.Leaf{Name: "front-proxy-client", CN: "front-proxy-client", Client: true}); err != nil {
		return err
	}
	return pki.ServiceAccountKey(dir) // last: its presence marks the set complete
}

// writeConfigs renders the components' configuration files into DIR/etc.
func (s *Spec) writeConfigs() error {
	data := struct {
		*Spec
		Base, Cgroup, PauseImage, CoreDNSImage string
		MaxOpenFiles                           uint64
	}{s, s.base(), s.cgroup(), PauseImage, CoreDNSImage, 1000000}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err == nil {
		data.MaxOpenFiles = min(data.MaxOpenFiles, lim.Max)
	}
	names := []string{"manifests.yaml", "audit-policy.yaml"}
	if !s.ControlPlaneOnly {
		names = append(names, "containerd.toml", "kubelet.yaml", "kube-proxy.yaml", "10-bridge.conflist", "resolv.conf")
	}
	for _, n := range names {
		t, err := template.New(n).Funcs(template.FuncMap{"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		}}).ParseFS(templates, "templates/"+n)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			return err
		}
		to := filepath.Join(s.Dir, "etc", n)
		if n == "10-bridge.conflist" { // containerd reads every file of the folder
			to = filepath.Join(s.Dir, "etc", "cni", n)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := writeFile(to, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// component is one process the supervisor keeps running.
type component struct {
	name string
	path string // "" for this program itself
	args []string
}

func (s *Spec) component(name string) component {
	b := s.base()
	pki := func(f string) string { return b + "/pki/" + f }
	etc := func(f string) string { return b + "/etc/" + f }
	url := func(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
	c := component{name: name}
	switch name {
	case "etcd":
		c.args = []string{
			"--name=testcluster", "--data-dir=" + b + "/etcd/data",
			"--listen-client-urls=" + url(s.EtcdPort), "--advertise-client-urls=" + url(s.EtcdPort),
			"--listen-peer-urls=" + url(s.EtcdPeerPort), "--initial-advertise-peer-urls=" + url(s.EtcdPeerPort),
			"--initial-cluster=testcluster=" + url(s.EtcdPeerPort),
			"--unsafe-no-fsync", // data need not outlive a power cut
			"--log-level=warn", "--quota-backend-bytes=2147483648", "--snapshot-count=10000",
			"--auto-compaction-mode=periodic", "--auto-compaction-retention=5m",
		}
	case "kube-apiserver":
		bind := "0.0.0.0"
		c.args = []string{
			"--etcd-servers=" + url(s.EtcdPort),
			fmt.Sprintf("--secure-port=%d", s.APIPort), "--advertise-address=" + s.NodeIP,
			"--service-cluster-ip-range=" + s.ServiceCIDR,
			"--authorization-mode=Node,RBAC", "--allow-privileged=true",
			// The second as on OpenShift: who blocks an owner's deletion must be allowed to finalize the owner.
			"--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
			"--client-ca-file=" + pki("ca.crt"),
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("sa.pub"), "--service-account-signing-key-file=" + pki("sa.key"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
			"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + pki("front-proxy-client.crt"), "--proxy-client-key-file=" + pki("front-proxy-client.key"),
			"--profiling=false", "--event-ttl=1h",
		}
		if s.ControlPlaneOnly {
			bind = "127.0.0.1"
			// A loopback address is no valid endpoint of the kubernetes service.
			c.args = append(c.args, "--endpoint-reconciler-type=none")
		}
		if s.Audit {
			c.args = append(c.args, "--audit-policy-file="+etc("audit-policy.yaml"), "--audit-log-path="+b+"/audit.log",
				"--audit-log-maxsize=4096") // megabytes; one file, which no test outgrows
		}
		c.args = append(c.args, "--bind-address="+bind)
	case "kube-controller-manager":
		kc := etc(name + ".kubeconfig")
		c.args = []string{
			"--kubeconfig=" + kc, "--authentication-kubeconfig=" + kc, "--authorization-kubeconfig=" + kc,
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", s.ControllerPort),
			"--leader-elect=false", "--use-service-account-credentials=true", "--controllers=" + s.Controllers,
			"--root-ca-file=" + pki("ca.crt"), "--service-account-private-key-file=" + pki("sa.key"),
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
			"--cluster-cidr=" + s.PodCIDR, "--service-cluster-ip-range=" + s.ServiceCIDR,
			"--allocate-node-cidrs=true", "--node-cidr-mask-size=24",
			"--profiling=false",
			"--flex-volume-plugin-dir=" + b + "/kubelet/volume-plugins", // it makes the folder, by default below /usr/libexec
			"--kube-api-qps=300", "--kube-api-burst=600", // the defaults (20, 30) slow its start by seconds
		}
	case "kube-scheduler":
		kc := etc(name + ".kubeconfig")
		c.args = []string{
			"--kubeconfig=" + kc, "--authentication-kubeconfig=" + kc, "--authorization-kubeconfig=" + kc,
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", s.SchedulerPort),
			"--leader-elect=false", "--profiling=false",
		}
	case "containerd":
		c.path, c.args = "containerd", []string{"--config", etc("containerd.toml")}
	case "kubelet":
		c.args = []string{
			"--config=" + etc("kubelet.yaml"), "--kubeconfig=" + etc("kubelet.kubeconfig"),
			"--hostname-override=" + s.NodeName, "--node-ip=" + s.NodeIP,
		}
	case "kube-proxy":
		c.args = []string{"--config=" + etc("kube-proxy.yaml")}
	}
	if s.FeatureGates != "" {
		switch name {
		case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy":
			c.args = append(c.args, "--feature-gates="+s.FeatureGates)
		}
	}
	c.args = append(c.args, s.ExtraArgs[name]...)
	return c
}
