"""What a tenant may use, as clients of each generation name it.

To those of IBM Quantum a tenant is a group of a hub, with one project; to those of the IBM Quantum
Platform it is an instance.
"""

HUB = "qjb"
PROJECT = "main"  # of every tenant, and its plan


def instance_of(tenant: str) -> str:
    """The instance of *tenant* as clients before 2025 name one: hub, group and project."""
    return f"{HUB}/{tenant}/{PROJECT}"


def crn_of(tenant: str) -> str:
    """The name of a tenant's instance. Clients look for a region in it, and know two."""
    return f"crn:v1:qjb:public:quantum-computing:us-east:a/{tenant}:{tenant}::"
