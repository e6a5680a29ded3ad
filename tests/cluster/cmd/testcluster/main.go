// Command testcluster is a real single-node Kubernetes cluster in one program.
//
//	testcluster up       --dir DIR [--control-plane-only] ...
//	testcluster down     --dir DIR [--keep]
//	testcluster status   --dir DIR
//	testcluster load     --dir DIR IMAGE.tar...
//	testcluster image    --name NAME --out IMAGE.tar --file SRC:DST[:MODE]... ...
//	testcluster stop|start|freeze --dir DIR COMPONENT
//	testcluster exec     --dir DIR -- COMMAND...   (in the node's namespaces)
//	testcluster COMPONENT [FLAGS]                  (etcd, kube-apiserver, kubelet, kubectl, ...)
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stockpipe.dev/tests/cluster/internal/cluster"
	"stockpipe.dev/tests/cluster/internal/components"
	"stockpipe.dev/tests/cluster/internal/image"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	name, args := os.Args[1], os.Args[2:]
	if components.Run(name, args) {
		return
	}
	commands := map[string]func([]string) error{
		"up": up, "down": down, "status": status, "load": load, "image": buildImage, "exec": execInNode,
		"supervise": func(a []string) error { return cluster.Supervise(a[0]) }, // not for people: up starts it
	}
	for _, verb := range cluster.Verbs {
		commands[verb] = func(a []string) error { return control(verb, a) }
	}
	f, ok := commands[name]
	if !ok {
		usage()
	}
	if err := f(args); err != nil {
		fmt.Fprintf(os.Stderr, "testcluster %s: %v\n", name, err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: testcluster up|down|status|load|image|stop|start|freeze|exec|etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kube-proxy|kubelet|kubectl [flags]")
	os.Exit(2)
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func flags(name string) (*flag.FlagSet, *string) {
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	return fs, fs.String("dir", "", "state directory of the cluster")
}

func up(args []string) error {
	fs, dir := flags("up")
	o := cluster.Options{ExtraArgs: map[string][]string{}}
	fs.BoolVar(&o.ControlPlaneOnly, "control-plane-only", false, "only etcd, kube-apiserver and kube-controller-manager, on loopback; needs no root")
	fs.StringVar(&o.NodeName, "node-name", "testcluster", "name of the node")
	fs.BoolVar(&o.DNS, "dns", true, "deploy CoreDNS")
	fs.BoolVar(&o.Audit, "audit", false, "log every request to the API server, without its body, to DIR/audit.log")
	fs.StringVar(&o.Controllers, "controllers", cluster.AllControllers, "with --control-plane-only: the controllers to run, as kube-controller-manager's flag: *,-NAME,...")
	fs.StringVar(&o.FeatureGates, "feature-gates", "", "for every Kubernetes component, NAME=true|false,...")
	fs.DurationVar(&o.Timeout, "timeout", 3*time.Minute, "how long to wait until ready")
	var extra, images list
	fs.Var(&extra, "arg", "COMPONENT=FLAG, added to that component's flags; may be repeated")
	fs.Var(&images, "image", "image archive to import before the cluster is ready; may be repeated")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	if *dir == "" {
		return errors.New("--dir is needed")
	}
	for _, e := range extra {
		c, f, ok := strings.Cut(e, "=")
		if !ok {
			return fmt.Errorf("--arg %q is not COMPONENT=FLAG", e)
		}
		o.ExtraArgs[c] = append(o.ExtraArgs[c], f)
	}
	o.Dir, o.Images = *dir, images
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, st, err := cluster.Up(ctx, o)
	if st != nil {
		for _, t := range st.Timings {
			fmt.Printf("%8.2fs %s\n", t.At.Seconds(), t.Stage)
		}
	}
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\n", s.Kubeconfig())
	return nil
}

func down(args []string) error {
	fs, dir := flags("down")
	keep := fs.Bool("keep", false, "keep the cluster's data for the next up in this directory")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	if *dir == "" {
		return errors.New("--dir is needed")
	}
	return cluster.Down(*dir, *keep)
}

func status(args []string) error {
	fs, dir := flags("status")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	s, err := cluster.Load(*dir)
	if err != nil {
		return err
	}
	if !s.Running() {
		return errors.New("not running")
	}
	st, err := s.Status()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{"spec": s, "status": st}, "", "  ")
	fmt.Println(string(b))
	return err
}

func load(args []string) error {
	fs, dir := flags("load")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	s, err := cluster.Load(*dir)
	if err != nil {
		return err
	}
	for _, a := range fs.Args() {
		abs, err := filepath.Abs(a)
		if err != nil {
			return err
		}
		out, err := s.Import(abs)
		if err != nil {
			return err
		}
		fmt.Println(out)
	}
	return nil
}

func buildImage(args []string) error {
	fs := flag.NewFlagSet("image", flag.ExitOnError)
	var o image.Options
	var files, env, labels, ports list
	fs.StringVar(&o.Name, "name", "", "image name, e.g. operator:dev")
	fs.StringVar(&o.Out, "out", "", "archive to write")
	fs.Var(&files, "file", "SRC:DST[:MODE]; SRC may be a folder; may be repeated")
	fs.Var(&env, "env", "NAME=VALUE; may be repeated")
	fs.Var(&labels, "label", "NAME=VALUE; may be repeated")
	fs.Var(&ports, "port", "e.g. 8080/tcp; may be repeated")
	binary := fs.String("binary", "", "program: put at /NAME and made the entrypoint unless --entrypoint is given")
	entry := fs.String("entrypoint", "", "comma-separated")
	cmd := fs.String("cmd", "", "comma-separated")
	fs.StringVar(&o.User, "user", "65532:65532", "user the program runs as")
	fs.StringVar(&o.WorkDir, "workdir", "/", "working directory")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	if o.Name == "" || o.Out == "" {
		return errors.New("--name and --out are needed")
	}
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, ",")
	}
	o.Files, o.Env, o.Ports, o.Entrypoint, o.Cmd = files, env, ports, split(*entry), split(*cmd)
	if *binary != "" {
		to := "/" + filepath.Base(*binary)
		o.Files = append(o.Files, *binary+":"+to+":755")
		if o.Entrypoint == nil {
			o.Entrypoint = []string{to}
		}
	}
	o.Labels = map[string]string{}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		o.Labels[k] = v
	}
	ref, err := image.Build(o)
	if err == nil {
		fmt.Println(ref)
	}
	return err
}

// control stops, starts or freezes a component.
func control(verb string, args []string) error {
	fs, dir := flags(verb)
	fs.Parse(args) //nolint:errcheck // ExitOnError
	if *dir == "" || fs.NArg() != 1 {
		return fmt.Errorf("write testcluster %s --dir DIR COMPONENT", verb)
	}
	s, err := cluster.Load(*dir)
	if err != nil {
		return err
	}
	return s.Control(verb, fs.Arg(0))
}

// execInNode runs a command in all of the node's namespaces, for a look inside.
func execInNode(args []string) error {
	fs, dir := flags("exec")
	fs.Parse(args) //nolint:errcheck // ExitOnError
	s, err := cluster.Load(*dir)
	if err != nil {
		return err
	}
	if s.ControlPlaneOnly || !s.Running() {
		return errors.New("no node is running")
	}
	bin, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	return syscall.Exec(bin, append([]string{"nsenter", "-a", "-t", strconv.Itoa(s.SupervisorID.Pid), "--"}, fs.Args()...), os.Environ())
}
