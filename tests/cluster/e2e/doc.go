// Package e2e tells users' stories on a real Kubernetes: helm install, kubectl
// apply, and what comes of it, with pods that really run.
//
// The stories run where STOCKPIPE_E2E=1, on the cluster of KUBECONFIG, which can
// pull STOCKPIPE_IMAGE (REPOSITORY:TAG); or, without both, on a testcluster of
// their own, into which the archive STOCKPIPE_IMAGE_ARCHIVE is loaded. On a given
// cluster, STOCKPIPE_SECOND_TAG is another tag of the image, to which workers move.
// `make e2e` does all of it.
package e2e
