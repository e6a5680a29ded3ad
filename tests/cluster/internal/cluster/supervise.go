package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// supervisor runs a cluster's processes. With a node it is PID 1 of the node's
// PID namespace.
type supervisor struct {
	*Spec
	ctx    context.Context // ends when the cluster must stop
	status Status

	mu       sync.Mutex // guards status, units, children, stopping
	units    map[string]*unit
	children map[int]*child
	stopping bool
}

// child is one process of a component.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
}

// Supervise is the main function of the supervisor process.
func Supervise(dir string) error {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	// Wait for Up: until it has made the link, the spec lacks this process's id.
	sync := os.NewFile(3, "sync")
	if n, err := sync.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("the starting process gave up: %w", err)
	}
	sync.Close()
	spec, err := Load(dir)
	if err != nil {
		return err
	}
	s := &supervisor{Spec: spec, ctx: ctx, units: map[string]*unit{}, children: map[int]*child{}}
	if !s.ControlPlaneOnly {
		if err := s.setupNode(); err != nil {
			return s.fail(err)
		}
		go s.reapOrphans()
	}
	s.Dir = s.base() // from here on, paths are the node's
	if err := s.listen(); err != nil {
		return s.fail(err)
	}
	s.mark("namespaces")
	if err := s.start(); err != nil {
		if ctx.Err() == nil {
			err = s.fail(err)
		}
		s.stop()
		return err
	}
	<-ctx.Done()
	log.Print("stopping")
	s.stop()
	return nil
}

func (s *supervisor) setupNode() error {
	if os.Getpid() != 1 {
		return errors.New("not PID 1 of a PID namespace: start me with up")
	}
	if err := unix.Sethostname([]byte(s.NodeName)); err != nil {
		return err
	}
	if err := s.setupMounts(); err != nil {
		return err
	}
	if err := s.setupNodeNetwork(); err != nil {
		return err
	}
	return makeCgroups(s.cgroup())
}

// mark records that a stage is complete.
func (s *supervisor) mark(stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Since(s.Started)
	log.Printf("%s after %v", stage, at.Round(time.Millisecond))
	s.status.Timings = append(s.status.Timings, Timing{stage, at})
	s.status.Total = at
	s.publish()
}

func (s *supervisor) fail(err error) error {
	log.Print(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Error = err.Error()
	s.publish()
	return err
}

func (s *supervisor) publish() {
	b, err := json.MarshalIndent(s.status, "", "  ")
	if err == nil {
		err = writeFile(filepath.Join(s.Dir, "status.json"), b, 0o644)
	}
	if err != nil {
		log.Print(err)
	}
}

// start brings everything up in the order of need, in parallel where it can.
func (s *supervisor) start() error {
	g, ctx := errgroup.WithContext(s.ctx)
	api, err := newAPI(s.Spec)
	if err != nil {
		return err
	}
	apiReady := make(chan struct{})
	g.Go(func() error {
		s.run("etcd")
		if err := poll(ctx, func(ctx context.Context) error { return s.healthy(ctx, "etcd") }); err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
		s.mark("etcd")
		s.run("kube-apiserver")
		if err := poll(ctx, api.ready); err != nil {
			return fmt.Errorf("kube-apiserver: %w", err)
		}
		s.mark("kube-apiserver")
		close(apiReady)
		s.run("kube-controller-manager")
		if err := poll(ctx, api.applyManifests); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		if runsController(s.Controllers, "serviceaccount-controller") {
			if err := poll(ctx, api.defaultServiceAccount); err != nil {
				return fmt.Errorf("default service account: %w", err)
			}
		}
		s.mark("kube-controller-manager")
		return nil
	})
	if !s.ControlPlaneOnly {
		imagesReady := make(chan struct{})
		g.Go(func() error {
			s.run("containerd")
			if err := poll(ctx, func(ctx context.Context) error { return s.healthy(ctx, "containerd") }); err != nil {
				return fmt.Errorf("containerd: %w", err)
			}
			s.mark("containerd")
			for _, f := range s.Images {
				if _, err := ctrImport(containerdSocket, filepath.Join(s.Dir, "images", f), s.runOnce); err != nil {
					return err
				}
			}
			s.mark("images")
			close(imagesReady)
			return nil
		})
		g.Go(func() error {
			if !waitAll(ctx, apiReady, imagesReady) {
				return ctx.Err()
			}
			api.provision(s.ctx)
			s.run("kubelet")
			s.run("kube-scheduler")
			s.run("kube-proxy")
			if err := poll(ctx, api.nodeReady); err != nil {
				return fmt.Errorf("node: %w", err)
			}
			s.mark("node Ready")
			if s.DNS {
				if err := poll(ctx, api.dnsReady); err != nil {
					return fmt.Errorf("coredns: %w", err)
				}
				s.mark("CoreDNS answers")
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.mu.Lock()
	s.status.Ready = true
	s.mu.Unlock()
	s.mark("ready")
	return nil
}

func waitAll(ctx context.Context, chs ...<-chan struct{}) bool {
	for _, c := range chs {
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// poll calls f until it succeeds or ctx ends; the error is f's last.
func poll(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run keeps a component running until the cluster stops, or Control says otherwise.
func (s *supervisor) run(name string) {
	u := newUnit(s.component(name))
	s.mu.Lock()
	s.units[name] = u
	s.mu.Unlock()
	go s.keep(u)
}

// spawn starts a component's process.
func (s *supervisor) spawn(c component) (*child, error) {
	out, err := os.OpenFile(filepath.Join(s.Dir, "logs", c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	var cmd *exec.Cmd
	if c.path == "" {
		cmd = exec.Command("/proc/self/exe", append([]string{c.name}, c.args...)...)
	} else {
		cmd = exec.Command(c.path, c.args...)
	}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, "/"
	cmd.Env = cleanEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.ControlPlaneOnly { // with a node, the PID namespace sees to it
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	ch, err := s.startChild(c.name, cmd)
	if err != nil {
		return nil, err
	}
	go func() {
		_ = s.waitFor(ch)
		close(ch.done)
	}()
	return ch, nil
}

// runOnce runs a command that is no component. As with those, reapOrphans must know the process for ours, or it may
// take the end of it from who waits.
func (s *supervisor) runOnce(cmd *exec.Cmd) error {
	ch, err := s.startChild("", cmd)
	if err != nil {
		return err
	}
	return s.waitFor(ch)
}

func (s *supervisor) startChild(name string, cmd *exec.Cmd) (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, context.Canceled
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ch := &child{name: name, cmd: cmd, done: make(chan struct{})}
	s.children[cmd.Process.Pid] = ch
	return ch, nil
}

func (s *supervisor) waitFor(ch *child) error {
	err := ch.cmd.Wait()
	s.mu.Lock()
	delete(s.children, ch.cmd.Process.Pid)
	s.mu.Unlock()
	return err
}

// cleanEnv is the environment of the supervisor and its components: a caller's
// proxy settings, say, must not come between them.
func cleanEnv() []string {
	env := []string{"HOME=/root", "TMPDIR=/tmp", "PATH=" + os.Getenv("PATH") + ":" + systemPath}
	for _, k := range []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// stop ends the components in reverse order of need. Containers and their shims
// need no care: they end with this process, PID 1 of their namespace.
func (s *supervisor) stop() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	for _, wave := range []map[string]time.Duration{
		{"kubelet": time.Second, "kube-proxy": time.Second, "kube-scheduler": time.Second, "kube-controller-manager": time.Second},
		{"containerd": 2 * time.Second},
		// The API server lingers over open watches; it keeps no state of its own.
		{"kube-apiserver": 500 * time.Millisecond},
		{"etcd": 5 * time.Second},
	} {
		var wg sync.WaitGroup
		s.mu.Lock()
		for _, ch := range s.children {
			grace, ok := wave[ch.name]
			if !ok {
				continue
			}
			wg.Go(func() {
				if err := ch.end(grace); err != nil {
					log.Printf("stop %s: %v", ch.name, err)
				}
			})
		}
		s.mu.Unlock()
		wg.Wait()
	}
}

// reapOrphans waits for processes that PID 1 inherited (shims, and what their
// containers leave). Components are left to exec.Cmd's own wait.
func (s *supervisor) reapOrphans() {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGCHLD)
	for {
		select {
		case <-sig:
		case <-time.After(5 * time.Second):
		}
		for {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			pid := siginfoPid(&info)
			if err != nil || pid == 0 {
				break
			}
			s.mu.Lock() // startChild holds it from fork to registration
			_, known := s.children[pid]
			s.mu.Unlock()
			if known {
				time.Sleep(5 * time.Millisecond) // its own waiter is about to take it
				continue
			}
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}
