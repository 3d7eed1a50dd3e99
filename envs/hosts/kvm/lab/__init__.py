"""A KVM host to try things on, made of namespaces on this machine."""
