// Package cluster brings a single-node Kubernetes cluster up and down.
//
// Everything a node is made of lives in Linux namespaces of its own: the
// supervisor is PID 1 of a PID namespace and owns a mount, network, UTS and IPC
// namespace; etcd, the control plane, containerd, kubelet, kube-proxy and all
// containers are below it. Hence nothing can be left behind: when PID 1 ends, the
// kernel ends every process, mount, link, route and packet-filter rule with it.
// Only cgroup directories and files under the state directory outlive it, and
// Down removes those.
//
// The host reaches the node over one veth pair; the node has no default route, so
// nothing in the cluster can reach any other machine.
package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// nodeStateDir is where a full cluster's state directory appears inside the
// node's mount namespace. Fixed and short: unix socket paths hold 107 bytes.
const nodeStateDir = "/run/testcluster"

// Spec is what one cluster is, as asked for and as allotted. It is kept in
// DIR/cluster.json.
type Spec struct {
	Dir              string // state directory on the host
	ID               string // short hash of Dir: names cgroups
	ControlPlaneOnly bool   // etcd, apiserver and controller-manager; no node, no root
	NodeName         string
	DNS              bool   // deploy CoreDNS
	Audit            bool   // write DIR/audit.log
	Controllers      string // as kube-controller-manager's --controllers

	HostLink, PeerLink string // veth pair, host and node end
	HostIP, NodeIP     string // its addresses (127.0.0.1 without a node)
	PodCIDR            string
	ServiceCIDR        string
	APIServiceIP       string
	DNSIP              string

	APIPort, EtcdPort, EtcdPeerPort, ControllerPort, SchedulerPort int

	FeatureGates string
	ExtraArgs    map[string][]string // component -> flags added last
	Images       []string            // archives to import before the cluster is ready
	BinDir       string              // where the pause and coredns binaries are

	Started      time.Time
	SupervisorID procID
}

// procID names a process past reuse of its pid.
type procID struct {
	Pid       int
	StartTime string // field 22 of /proc/PID/stat
}

func (p procID) alive() bool {
	if p.Pid == 0 {
		return false
	}
	st, err := startTime(p.Pid)
	return err == nil && st == p.StartTime
}

func startTime(pid int) (string, error) {
	f, err := processStat(pid)
	if err != nil {
		return "", err
	}
	if f[0] == "Z" {
		return "", os.ErrProcessDone
	}
	return f[19], nil
}

// processState is a letter of proc(5): R, S, D, T when stopped by a signal, Z.
func processState(pid int) (string, error) {
	f, err := processStat(pid)
	if err != nil {
		return "", err
	}
	return f[0], nil
}

// processStat is the fields of /proc/PID/stat from the third on.
func processStat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // the second may hold blanks
	if len(f) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat is short", pid)
	}
	return f, nil
}

func newID(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:4])
}

func (s *Spec) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(s.Dir, "cluster.json"), b, 0o600)
}

// Load reads the cluster of a state directory.
func Load(dir string) (*Spec, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return nil, err
	}
	s := &Spec{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, err
	}
	s.Dir = dir
	return s, nil
}

// Running tells whether the cluster's supervisor is alive.
func (s *Spec) Running() bool { return s.SupervisorID.alive() }

// base is the state directory as the components see it.
func (s *Spec) base() string {
	if s.ControlPlaneOnly {
		return s.Dir
	}
	return nodeStateDir
}

func (s *Spec) cgroup() string    { return "/testcluster-" + s.ID }
func (s *Spec) apiServer() string { return "https://" + s.NodeIP + ":" + strconv.Itoa(s.APIPort) }

// Kubeconfig is the administrator's kubeconfig file on the host.
func (s *Spec) Kubeconfig() string { return filepath.Join(s.Dir, "kubeconfig") }

// HostPath is where the host finds a path of the node's mount namespace.
func (s *Spec) HostPath(p string) string {
	return fmt.Sprintf("/proc/%d/root%s", s.SupervisorID.Pid, p)
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".tmp", b, mode); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// NodePodCIDR is the part of PodCIDR that kube-controller-manager allots to the
// first node, which is the only real one.
func (s *Spec) NodePodCIDR() string { return strings.TrimSuffix(s.PodCIDR, "/20") + "/24" }
