"""The entry points: each parses its words, sets up its log, and runs one thing."""
import warnings

# Libraries load it in either mode, and say this of it on every start.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
