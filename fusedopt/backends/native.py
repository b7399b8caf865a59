class Cpu:
    @staticmethod
    def unavailable(device): return "x"
class Cuda(Cpu): pass
def roster(o, i): return None
