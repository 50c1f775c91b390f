# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the topology discovery. Each reads one side of a machine from a `Tree` of the module util sysfs."""
