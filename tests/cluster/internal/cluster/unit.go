package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// restartPause is how long a component that ended by itself stays away, as
// with an init system, so that one that cannot start does not spin.
const restartPause = time.Second

// stopGrace is how long a component that is told to stop may take before it is
// killed. The API server would wait a minute for its watches.
const stopGrace = 3 * time.Second

// unit is one component that the supervisor keeps as it is wanted: running,
// frozen, or stopped.
type unit struct {
	component
	turn sync.Mutex // held by the one who stops, starts or freezes it

	mu     sync.Mutex // guards the rest
	wanted bool
	child  *child
	change chan struct{} // closed and replaced when wanted or child changes
}

func newUnit(c component) *unit {
	return &unit{component: c, wanted: true, change: make(chan struct{})}
}

// set changes the unit and wakes who waits for a change.
func (u *unit) set(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f()
	close(u.change)
	u.change = make(chan struct{})
}

func (u *unit) state() (wanted bool, c *child, change <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wanted, u.child, u.change
}

// keep runs the component again and again, as long as it is wanted.
func (s *supervisor) keep(u *unit) {
	// The parent-death signal that child processes ask for is sent when the
	// thread that started them ends, so this one must not.
	runtime.LockOSThread()
	for s.ctx.Err() == nil {
		wanted, _, change := u.state()
		if !wanted {
			select {
			case <-change:
			case <-s.ctx.Done():
			}
			continue
		}
		began := time.Now()
		ch, err := s.spawn(u.component)
		if err != nil {
			log.Printf("%s: %v", u.name, err)
		} else {
			u.set(func() { u.child = ch })
			<-ch.done
			u.set(func() { u.child = nil })
			log.Printf("%s ended after %v: %v", u.name, time.Since(began).Round(time.Millisecond), ch.cmd.ProcessState)
		}
		wanted, _, change = u.state()
		if !wanted {
			continue
		}
		select {
		case <-change:
		case <-s.ctx.Done():
		case <-time.After(restartPause):
		}
	}
}

// stop ends the component and keeps it ended. A process that is frozen, or
// takes longer than stopGrace, is killed.
func (u *unit) stop() error {
	u.turn.Lock()
	defer u.turn.Unlock()
	u.set(func() { u.wanted = false })
	_, ch, _ := u.state()
	if ch == nil {
		return nil
	}
	if err := ch.end(stopGrace); err != nil {
		return err
	}
	return u.await(context.Background(), func(c *child) bool { return c == nil })
}

// start runs the component again, or lets a frozen one go on.
func (u *unit) start(ctx context.Context) error {
	u.turn.Lock()
	defer u.turn.Unlock()
	wanted, ch, _ := u.state()
	if wanted && ch != nil {
		return ch.signal(syscall.SIGCONT)
	}
	u.set(func() { u.wanted = true })
	return u.await(ctx, func(c *child) bool { return c != nil })
}

// freeze halts the component without ending it: its connections stay open, and
// nobody answers on them.
func (u *unit) freeze(ctx context.Context) error {
	u.turn.Lock()
	defer u.turn.Unlock()
	wanted, ch, _ := u.state()
	if !wanted || ch == nil {
		return fmt.Errorf("%s is not running", u.name)
	}
	if err := ch.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return poll(ctx, func(context.Context) error {
		st, err := processState(ch.cmd.Process.Pid)
		if err == nil && st != "T" {
			err = fmt.Errorf("%s is still in state %s", u.name, st)
		}
		return err
	})
}

// await waits until the unit's process is as it should be.
func (u *unit) await(ctx context.Context, is func(*child) bool) error {
	for {
		_, ch, change := u.state()
		if is(ch) {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", u.name, ctx.Err())
		}
	}
}

func (c *child) signal(sig syscall.Signal) error {
	err := c.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s has just ended", c.name)
	}
	return err
}

// end asks the process to end, wakes it if it is frozen, and kills it after
// grace.
func (c *child) end(grace time.Duration) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT} {
		if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	select {
	case <-c.done:
	case <-time.After(grace):
		if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-c.done
	}
	return nil
}
