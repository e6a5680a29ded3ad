package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// containerdSocket is where containerd listens, as the node sees it.
const containerdSocket = "/run/containerd/containerd.sock"

// healthURL is where a component says whether it is well, as the supervisor
// sees it; empty where it does not.
func (s *Spec) healthURL(component string) string {
	switch component {
	case "etcd":
		return fmt.Sprintf("http://127.0.0.1:%d/health", s.EtcdPort)
	case "kube-apiserver":
		return s.apiServer() + "/readyz"
	case "kube-controller-manager":
		return fmt.Sprintf("https://127.0.0.1:%d/healthz", s.ControllerPort)
	case "kube-scheduler":
		return fmt.Sprintf("https://127.0.0.1:%d/healthz", s.SchedulerPort)
	case "kubelet":
		return "http://127.0.0.1:10248/healthz"
	case "kube-proxy":
		return "http://127.0.0.1:10256/livez"
	}
	return ""
}

// healthy asks a component whether it is well.
func (s *Spec) healthy(ctx context.Context, component string) error {
	if component == "containerd" {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", containerdSocket)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return answersOK(ctx, s.healthURL(component))
}

// probe asks without checking certificates: some components sign their own.
// Each question is a connection of its own, so that none is asked of a process
// that has gone.
var probe = &http.Client{
	Timeout: 2 * time.Second,
	Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	},
}

func answersOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r, err := probe.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	return nil
}
