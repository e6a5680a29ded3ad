package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Down stops the cluster and removes all it made outside its state directory.
// Unless keep is set it also removes the cluster's data, so that the next Up in
// the same directory starts empty; logs and audit.log stay in any case.
func Down(dir string, keep bool) error {
	s, err := Load(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // never came up, or already gone
	}
	if err != nil {
		return err
	}
	unlock, err := lock(s.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.halt(20 * time.Second); err != nil {
		return err
	}
	if err := s.releaseHost(); err != nil {
		return err
	}
	if keep {
		return os.RemoveAll(filepath.Join(s.Dir, "status.json"))
	}
	return s.wipe()
}

// wipe removes a stopped cluster's data, all but its logs and audit.log.
func (s *Spec) wipe() error {
	var err error
	for _, d := range []string{"status.json", "etcd", "kubelet", "containerd", "volumes", "images", "pki", "etc", "kubeconfig", "control.sock", "cluster.json"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.Dir, d)))
	}
	return err
}

// lock keeps an Up and a Down of one directory apart.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another up or down is at work in %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// halt ends the supervisor, and with it everything it supervises.
func (s *Spec) halt(grace time.Duration) error {
	wait := func(d time.Duration) bool {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if !s.Running() {
				return true
			}
		}
		return !s.Running()
	}
	if !s.Running() {
		return nil
	}
	_ = syscall.Kill(s.SupervisorID.Pid, syscall.SIGTERM)
	if wait(grace) {
		return nil
	}
	_ = syscall.Kill(s.SupervisorID.Pid, syscall.SIGKILL)
	if wait(10 * time.Second) {
		return nil
	}
	return fmt.Errorf("supervisor %d does not end", s.SupervisorID.Pid)
}

// releaseHost removes what a dead node may leave on the host: the veth pair (it
// dies with the network namespace, which the kernel frees a little later), and
// the cgroups.
func (s *Spec) releaseHost() error {
	if s.ControlPlaneOnly {
		return nil
	}
	return errors.Join(s.detachNode(), removeCgroups(s.cgroup()))
}
