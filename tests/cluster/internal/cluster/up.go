package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stockpipe.dev/tests/cluster/internal/image"
)

// PauseImage and CoreDNSImage are made here and imported at start; no registry
// knows them.
const (
	PauseImage   = "testcluster.local/pause:1"
	CoreDNSImage = "testcluster.local/coredns:1"
)

// Options are what a caller of Up may choose.
type Options struct {
	Dir              string
	ControlPlaneOnly bool
	NodeName         string
	DNS              bool
	Audit            bool   // log every request to DIR/audit.log
	Controllers      string // as kube-controller-manager's --controllers; all when a node is to run
	FeatureGates     string
	ExtraArgs        map[string][]string
	Images           []string
	Timeout          time.Duration
}

// Status is what the supervisor reports in DIR/status.json.
type Status struct {
	Ready   bool
	Error   string        `json:",omitempty"`
	Timings []Timing      // in order of completion, counted from the start of Up
	Total   time.Duration `json:"TotalNS"`
}

// Timing is one stage's completion.
type Timing struct {
	Stage string
	At    time.Duration `json:"AtNS"`
}

// Up starts a cluster and waits until it is ready.
func Up(ctx context.Context, o Options) (*Spec, *Status, error) {
	start := time.Now()
	if o.Controllers == "" {
		o.Controllers = AllControllers
	}
	if !o.ControlPlaneOnly && o.Controllers != AllControllers {
		return nil, nil, errors.New("--controllers leaves out what a node needs: use it with --control-plane-only")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	kept, keptLink := false, ""
	if old, err := Load(dir); err == nil {
		if old.Running() {
			return nil, nil, fmt.Errorf("a cluster is already running in %s (pid %d)", dir, old.SupervisorID.Pid)
		}
		if old.ControlPlaneOnly != o.ControlPlaneOnly {
			return nil, nil, fmt.Errorf("%s keeps the data of a cluster of the other mode; run down first", dir)
		}
		kept, keptLink = true, old.HostLink
		if err := old.releaseHost(); err != nil { // it may have crashed
			return nil, nil, err
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	s := &Spec{
		Dir: dir, ID: newID(dir), ControlPlaneOnly: o.ControlPlaneOnly, NodeName: o.NodeName, DNS: o.DNS,
		Audit: o.Audit, Controllers: o.Controllers, FeatureGates: o.FeatureGates, ExtraArgs: o.ExtraArgs, BinDir: filepath.Dir(exe), Started: start,
	}
	for _, d := range []string{"pki", "etc", "logs", "images", "etcd", "kubelet", "containerd", "volumes"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, nil, err
		}
	}
	// Logs are those of one run: what down left is there until the next up.
	old, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
	for _, f := range append(old, filepath.Join(dir, "audit.log"), filepath.Join(dir, "status.json")) {
		if err := os.RemoveAll(f); err != nil {
			return nil, nil, err
		}
	}

	if s.ControlPlaneOnly {
		err = s.allotLoopback()
	} else {
		if os.Geteuid() != 0 {
			return nil, nil, errors.New("a node needs root; --control-plane-only does not")
		}
		if err := preflight(); err != nil {
			return nil, nil, err
		}
		err = s.allotNode(keptLink)
	}
	if err != nil {
		return nil, nil, err
	}
	ok := false
	defer func() {
		if !ok {
			err := errors.Join(s.halt(5*time.Second), s.releaseHost())
			if err == nil && !kept {
				err = s.wipe()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "clean up:", err)
			}
		}
	}()
	if err := s.writeCredentials(); err != nil {
		return nil, nil, err
	}
	if err := s.writeConfigs(); err != nil {
		return nil, nil, err
	}
	if !s.ControlPlaneOnly {
		if err := s.buildImages(o.Images); err != nil {
			return nil, nil, err
		}
	}
	if err := s.save(); err != nil {
		return nil, nil, err
	}
	exited, err := s.spawn()
	if err != nil {
		return nil, nil, err
	}
	st, err := s.await(ctx, o.Timeout, exited)
	if err != nil {
		return nil, st, fmt.Errorf("%w (logs: %s)", err, filepath.Join(dir, "logs"))
	}
	ok = true
	return s, st, nil
}

// systemPath is where Debian has the node's programs; a user's PATH may lack sbin.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Packages are the Debian packages that a node needs.
var Packages = []string{"containerd", "runc", "containernetworking-plugins", "nftables", "iptables"}

// preflight checks that the programs of Packages are there.
func preflight() error {
	var missing []string
	for _, p := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft", "iptables", "/usr/lib/cni/bridge"} {
		found := false
		for _, d := range filepath.SplitList(os.Getenv("PATH") + ":" + systemPath) {
			if filepath.IsAbs(p) {
				d = "/"
			}
			if st, err := os.Stat(filepath.Join(d, p)); err == nil && st.Mode()&0o111 != 0 {
				found = true
				break
			}
		}
		if !found {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s; apt-get install --no-install-recommends %s", strings.Join(missing, ", "), strings.Join(Packages, " "))
	}
	return nil
}

// allotLoopback gives a control plane free ports on 127.0.0.1. The listeners are
// closed all at once, so the ports differ.
func (s *Spec) allotLoopback() error {
	s.NodeIP, s.HostIP = "127.0.0.1", "127.0.0.1"
	s.ServiceCIDR, s.APIServiceIP, s.PodCIDR = "10.96.0.0/16", "10.96.0.1", "10.244.0.0/16"
	for _, p := range []*int{&s.APIPort, &s.EtcdPort, &s.EtcdPeerPort, &s.ControllerPort, &s.SchedulerPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		*p = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

// buildImages makes the two images the node itself needs, and notes the
// caller's, under DIR/images where the node sees them.
func (s *Spec) buildImages(extra []string) error {
	mk := func(name, bin string, o image.Options) error {
		o.Name, o.Out = name, filepath.Join(s.Dir, "images", bin+".tar")
		o.Files = []string{filepath.Join(s.BinDir, bin) + ":/" + bin + ":755"}
		o.Entrypoint, o.User = []string{"/" + bin}, "65532:65532"
		_, err := image.Build(o)
		s.Images = append(s.Images, bin+".tar")
		return err
	}
	if err := mk(PauseImage, "pause", image.Options{}); err != nil {
		return err
	}
	if s.DNS {
		if err := mk(CoreDNSImage, "coredns", image.Options{}); err != nil {
			return err
		}
	}
	for i, f := range extra {
		abs, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("extra-%d.tar", i)
		to := filepath.Join(s.Dir, "images", name)
		os.Remove(to)
		if err := os.Link(abs, to); err != nil { // another filesystem: copy
			b, err := os.ReadFile(abs)
			if err != nil {
				return err
			}
			if err := os.WriteFile(to, b, 0o644); err != nil {
				return err
			}
		}
		s.Images = append(s.Images, name)
	}
	return nil
}

// spawn starts the supervisor, detached, in new namespaces when there is a node.
func (s *Spec) spawn() (<-chan error, error) {
	log, err := os.OpenFile(filepath.Join(s.Dir, "logs", "supervisor.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	cmd := exec.Command("/proc/self/exe", "supervise", s.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{r} // fd 3: a byte says "the link is there"
	cmd.Env, cmd.Dir = cleanEnv(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !s.ControlPlaneOnly {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	st, err := startTime(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	s.SupervisorID = procID{cmd.Process.Pid, st}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := s.save(); err != nil {
		return exited, err
	}
	if !s.ControlPlaneOnly {
		if err := s.attachNode(); err != nil {
			return exited, err
		}
	}
	_, err = w.Write([]byte{1})
	return exited, err
}

func (s *Spec) await(ctx context.Context, timeout time.Duration, exited <-chan error) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var st *Status
	for {
		if n, err := s.Status(); err == nil {
			st = n
			if st.Error != "" {
				return st, errors.New(st.Error)
			}
			if st.Ready {
				return st, nil
			}
		}
		select {
		case err := <-exited:
			return st, fmt.Errorf("the supervisor ended: %v", err)
		case <-ctx.Done():
			return st, fmt.Errorf("not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Status reads what the supervisor last reported.
func (s *Spec) Status() (*Status, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, "status.json"))
	if err != nil {
		return nil, err
	}
	st := &Status{}
	return st, json.Unmarshal(b, st)
}

// Import loads an image archive into the running node.
func (s *Spec) Import(archive string) (string, error) {
	if s.ControlPlaneOnly || !s.Running() {
		return "", errors.New("no node is running")
	}
	return ctrImport(s.HostPath("/run/containerd/containerd.sock"), archive, (*exec.Cmd).Run)
}

// ctrImport imports an archive; run starts the command and waits for it.
func ctrImport(socket, archive string, run func(*exec.Cmd) error) (string, error) {
	var said bytes.Buffer
	cmd := exec.Command("ctr", "--address", socket, "-n", "k8s.io", "images", "import", archive)
	cmd.Stdout, cmd.Stderr = &said, &said
	err := run(cmd)
	out := strings.TrimSpace(said.String())
	if err != nil {
		return "", fmt.Errorf("ctr images import %s: %w: %s", archive, err, out)
	}
	return out, nil
}
