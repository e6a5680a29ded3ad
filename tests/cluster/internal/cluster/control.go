package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Verbs are what can be done to a component of a running cluster.
var Verbs = []string{"stop", "start", "freeze"}

// controlTimeout bounds how long a verb takes until it shows; the API server
// alone needs some seconds to be healthy again.
const controlTimeout = 2 * time.Minute

type request struct{ Verb, Component string }

type answer struct {
	Error string `json:",omitempty"`
}

// controlSocket is where the supervisor listens, named through an open folder:
// the path of a Unix socket holds 107 bytes, and a state directory may be longer.
func controlSocket(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/control.sock", dir.Fd())
}

// Control stops, starts or freezes a component, and returns when it is so: a
// component that is started has answered its health check.
func (s *Spec) Control(verb, component string) error {
	if !slices.Contains(Verbs, verb) {
		return fmt.Errorf("%q is not understood; write one of %s", verb, strings.Join(Verbs, ", "))
	}
	if !s.Running() {
		return fmt.Errorf("no cluster is running in %s", s.Dir)
	}
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	c, err := net.DialTimeout("unix", controlSocket(dir), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(controlTimeout + 5*time.Second)); err != nil {
		return err
	}
	if err := json.NewEncoder(c).Encode(request{verb, component}); err != nil {
		return err
	}
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return fmt.Errorf("the supervisor gave no answer: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// listen serves Control until the cluster stops.
func (s *supervisor) listen() error {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	// A kept cluster's supervisor may have left its socket.
	if err := os.RemoveAll(filepath.Join(s.Dir, "control.sock")); err != nil {
		return err
	}
	l, err := net.Listen("unix", controlSocket(dir))
	if err != nil {
		return err
	}
	go func() {
		<-s.ctx.Done()
		l.Close()
		dir.Close()
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.serve(c)
		}
	}()
	return nil
}

func (s *supervisor) serve(c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.ctx, controlTimeout)
	defer cancel()
	var r request
	err := c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if err == nil {
		err = json.NewDecoder(c).Decode(&r)
	}
	if err == nil {
		err = s.control(ctx, r)
	}
	log.Printf("%s %s: %v", r.Verb, r.Component, err)
	var a answer
	if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(c).Encode(a); err != nil {
		log.Printf("answer to %s %s: %v", r.Verb, r.Component, err)
	}
}

func (s *supervisor) control(ctx context.Context, r request) error {
	s.mu.Lock()
	u := s.units[r.Component]
	var names []string
	for name := range s.units {
		names = append(names, name)
	}
	s.mu.Unlock()
	if u == nil {
		slices.Sort(names)
		return fmt.Errorf("no component %q runs here; write one of %s", r.Component, strings.Join(names, ", "))
	}
	switch r.Verb {
	case "stop":
		return u.stop()
	case "freeze":
		return u.freeze(ctx)
	}
	if err := u.start(ctx); err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) error { return s.healthy(ctx, r.Component) })
}
