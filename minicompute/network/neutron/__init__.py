"""Networks of Neutron. `backend` is what [DEFAULT] network_backend = neutron loads; the rest are its parts."""
