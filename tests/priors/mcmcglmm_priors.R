# Quantiles of MCMCglmm's priors: its chain on data that say nothing (residual variance held at 1e10).
# Numbers of test_mcmcglmm.py: MCMCglmm 2.36, R 4.2; after "|" the Monte-Carlo errors of the probabilities (40 batches).
suppressMessages(library(MCMCglmm))
set.seed(7)
d<-data.frame(y=rnorm(4),f=factor(rep(1:2,2)),g=factor(rep(1:2,each=2)))
cases<-list(
 iw1=list("g",list(V=2,nu=3)),
 px1=list("g",list(V=1,nu=3,alpha.mu=0,alpha.V=25)),
 px1m=list("g",list(V=1,nu=4,alpha.mu=2,alpha.V=4)),
 iw2=list("us(f):g",list(V=matrix(c(2,.5,.5,1),2),nu=4)),
 px2=list("us(f):g",list(V=diag(2),nu=4,alpha.mu=c(0,0),alpha.V=diag(2)*25)),
 px2v=list("us(f):g",list(V=matrix(c(1,.8,.8,1),2),nu=4,alpha.mu=c(0,0),alpha.V=matrix(c(4,2,2,9),2))),
 px2m=list("us(f):g",list(V=diag(2),nu=4,alpha.mu=c(1,-2),alpha.V=diag(2))),
 idh=list("idh(f):g",list(V=diag(c(2,1)),nu=3)),
 idhpx=list("idh(f):g",list(V=diag(c(2,1)),nu=3,alpha.mu=c(0,1),alpha.V=diag(c(4,9))))
)
pr<-c(.05,.25,.5,.75,.95)
for (nm in names(cases)) {
 c_<-cases[[nm]]
 m<-MCMCglmm(y~1,random=as.formula(paste0("~",c_[[1]])),data=d,prior=list(R=list(V=1e10,fix=1),G=list(G1=c_[[2]])),nitt=2010000,burnin=10000,thin=20,verbose=FALSE)
 v<-m$VCV[,1:(ncol(m$VCV)-1),drop=FALSE]
 for (j in 1:ncol(v)) { x<-v[,j]; q<-quantile(x,pr)
  # batch errors of the CDF at the quantiles
  B<-40; b<-rep(1:B,each=length(x)/B); se<-sapply(q,function(t) sd(tapply(x<=t,b,mean))/sqrt(B))
  cat(nm,colnames(v)[j],signif(q,6),"|",signif(se,3),"\n") }
}
